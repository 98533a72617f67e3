"""Checks the configuration for Chalice commands, adds bytecode, and prefixes callback paths.

Chalice imports `app.py` when it starts a command such as `deploy`, `package` or `local`, and
`app.py` calls `run`. If the user has made a mistake, the command then ends with one message instead
of a traceback.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

import boto3
import click
from chalice.app import Chalice
from click.core import ParameterSource

from chalicelib import config
from chalicelib.adapters import rules_file
from chalicelib.routes.callbacks import move_twilio_routes
from infra import OperatorError, bytecode
from infra.aws import (
    Aws,
    chalice_record,
    check_variables,
    config_file,
    connect,
    live_resources,
    policies,
    require_region,
    stacks,
    stage_config,
)
from infra.aws.stage_config import Stage
from infra.commands import REPORTED_ERRORS, describe_error
from infra.commands.rules import ensure_deployable_rules


def _allow(_value: Any, _stage_name: str) -> None:
    return None


def _check_generated_policy(value: Any, _stage_name: str) -> str | None:
    return f"can't be used, because {config_file.GENERATED_POLICY}" if value else None


def _check_api_gateway_stage(value: str | None, stage_name: str) -> str | None:
    return None if value in (None, stage_name) else f"must equal the stage name ({stage_name})"


def _check_format(value: str, _stage_name: str) -> str | None:
    return None if value == "cloudformation" else "must be cloudformation"


OPTIONS: Mapping[str, Callable[[Any, str], str | None]] = {
    "api_gateway_stage": _check_api_gateway_stage,
    "autogen_policy": _check_generated_policy,
    "connection_timeout": _allow,
    "merge_template": _allow,
    "out": _allow,
    "pkg_format": _check_format,
    "profile": _allow,
    "single_file": _allow,
    "stage": _allow,
    "template_format": _allow,
}
"""The check for each option of `chalice deploy`, `dev plan` and `package`."""


def run(app: Chalice) -> None:
    """Prepare the running Chalice command, or exit with a message if it can't succeed.

    Args:
        app: The imported app.
    """
    context = _running_context()
    command, parameters = context.info_name, context.params
    if not (context.obj or {}).get("debug"):
        _print_messages_instead_of_tracebacks()
    try:
        check_variables(os.environ)
        if command in ("deploy", "plan", "package"):
            _check_options(parameters)
            bytecode.add_to_packages()
        if command in ("deploy", "plan"):
            stage = _check_deployment(parameters["stage"], parameters["profile"])
            move_twilio_routes(app, stage.settings.callback_prefixes)
        elif command == "package":
            stage = _check_package(parameters)
            move_twilio_routes(app, stage.settings.callback_prefixes)
        else:
            if command == "local":
                from local import chalice_local  # noqa: PLC0415  other commands need no local stack

                if context.get_parameter_source("port") is ParameterSource.DEFAULT:
                    chalice_local.use_api_port(parameters["port"])
                names = ("stage", "host", "port")
                chalice_local.configure(app, **{name: parameters[name] for name in names})
            rules_file.read(config.rules_file(os.environ))
    except REPORTED_ERRORS as error:
        _stop(f"Error: {describe_error(error)}")
    except SystemExit as error:
        _stop(str(error))


def _check_options(parameters: Mapping[str, Any]) -> None:
    """Raise an error for an option with a value that this project does not support."""
    for name, value in parameters.items():
        if problem := OPTIONS[name](value, parameters["stage"]):
            raise OperatorError(f"The option --{name.replace('_', '-')} {problem}.")


def _running_context() -> click.Context:
    """Return the click context of the running command; without a command, an empty context."""
    context = click.get_current_context(silent=True)
    if context or threading.current_thread() is threading.main_thread():
        return context or click.Context(click.Command(None))
    # With --autoreload, `chalice local` imports the app in a thread, which has no click context.
    from chalice.cli import cli, local  # noqa: PLC0415  Chalice has imported its command line

    group = cli.make_context("chalice", sys.argv[1:], obj={})
    return local.make_context("local", group.args, parent=group)


def _print_messages_instead_of_tracebacks() -> None:
    """Make Chalice print a message instead of a traceback for errors that occur after `run`.

    Chalice prints a traceback for almost every error, such as a missing file, and has no option to
    change that. `chalice --debug` still prints tracebacks.
    """
    cli_module: Any = importlib.import_module("chalice.cli")
    cli_module.traceback = SimpleNamespace(format_exc=_format_error)


def _format_error() -> str:
    error: Any = sys.exc_info()[1]
    if type(error) is RuntimeError or type(error).__module__ != "builtins":
        return f"Error: {error}"
    if isinstance(error, OSError):
        return f"Error: {describe_error(error)}"
    return (
        f"Error: {type(error).__name__}: {error}\n"
        f"To print a traceback, run: chalice --debug {' '.join(sys.argv[1:])}"
    )


def _stop(message: str) -> NoReturn:
    if threading.current_thread() is threading.main_thread():
        raise SystemExit(message)
    # In a thread, SystemExit would end only that thread, not the process.
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
    os._exit(1)


def _check_deployment(stage_name: str, profile: str | None) -> Stage:
    """Return a stage after checking that it is prepared in the selected account and region.

    Raises:
        OperatorError: The deployment would fail, or would create a second API.
    """
    stage = _read_deployable(stage_name, allow_empty_sids=True)
    if empty := stage_config.empty_sids(stage_name):
        raise OperatorError(
            f"Stage {stage_name} is not prepared: .chalice/config.json does not set "
            f"{', '.join(empty)}. {_preparation_advice(stage_name)}"
        )
    aws = connect(profile)
    live_resources.ensure_same_region(aws, stage)
    live_resources.ensure_created_by_chalice(aws, stage)
    _ensure_prepared(aws, stage)
    chalice_record.ensure_current(aws, stage)
    return stage


def _ensure_prepared(aws: Aws, stage: Stage) -> None:
    # Only this check needs Twilio's SDK, which is slow to import.
    from infra.commands import secrets  # noqa: PLC0415

    problem = f"Stage {stage.name} is not prepared in account {aws.account}, {aws.region}"
    if not secrets.exist(aws, stage):
        raise OperatorError(f"{problem}: it has no secrets. {_preparation_advice(stage.name)}")
    if "Deployments" not in stacks.outputs(aws, stage):
        raise OperatorError(f"{problem}. Run: python -m infra prepare --stage {stage.name}")


def _preparation_advice(stage_name: str) -> str:
    return (
        "Run this command, which asks for the missing values: "
        f"python -m infra prepare --stage {stage_name}"
    )


def _check_package(parameters: Mapping[str, Any]) -> Stage:
    """Return a stage after checking, without access to AWS, that it can be packaged.

    Prints warnings.
    """
    stage_name = parameters["stage"]
    stage = _read_deployable(stage_name, allow_empty_sids=True)
    require_region(boto3.Session(profile_name=parameters["profile"]))
    if empty := stage_config.empty_sids(stage_name):
        click.echo(
            f"Warning: stage {stage_name} in .chalice/config.json does not set "
            f"{', '.join(empty)}. The packaged functions fail until these SIDs are set.",
            err=True,
        )
    if parameters["merge_template"] is None:
        click.echo(
            "Note: the template lacks settings that Chalice can't configure, such as throttles and "
            "the functions' names. To include them, run: "
            f"python -m infra package --stage {stage_name} FOLDER",
            err=True,
        )
    return stage


def _read_deployable(stage_name: str, *, allow_empty_sids: bool = False) -> Stage:
    """Return a stage that can be deployed, after writing its policy files."""
    chalice_record.lambda_runtime()
    stage = stage_config.read(stage_name, allow_empty_sids=allow_empty_sids)
    stage_config.ensure_runnable(stage)
    ensure_deployable_rules(stage)
    policies.write(stage)
    return stage
