"""The commands of `python -m infra`, and their shared options and helpers."""

import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import click
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from chalicelib import config
from chalicelib.adapters.dynamodb.client import make_client
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import AppError, StoreUnavailable
from chalicelib.domain.messages import describe_connection_failure
from infra import OperatorError
from infra.aws import Aws, chalice_record, check_variables, connect, stage_config
from infra.aws import describe_error as describe_aws_error
from infra.aws.stage_config import Stage
from infra.signals import Interrupted

_LOCAL_STAGE = "local"

stage_option = click.option(
    "--stage",
    "stage_name",
    default=_LOCAL_STAGE,
    show_default=True,
    help="A stage in .chalice/config.json.",
)

cloud_stage_option = click.option(
    "--stage",
    "stage_name",
    required=True,
    help="A stage in .chalice/config.json, other than local.",
)

break_lock_option = click.option(
    "--break-lock",
    is_flag=True,
    help="Continue even if another command holds the stage's lock.",
)

REPORTED_ERRORS = (
    OperatorError,
    config.SettingsError,
    AppError,
    BotoCoreError,
    ClientError,
    OSError,
)
"""Expected errors, which are reported as a message without a traceback."""

_REPEAT = "Run the same command again to finish."
_NEW_PLAN = (
    "If the command has changed anything, make a new plan and apply it. Otherwise, run the same "
    "command again."
)
"""The remedy after an interrupted `apply --plan`, which refuses a partly applied plan."""

_REMEDIES = {
    "ResourceNotFoundException": "status",
    "NoSuchBucket": "status",
    "NotFound": "status",
    "ParameterNotFound": "secrets put",
}
"""The command to run if a part of a stage does not exist, by AWS error code."""

_STORE_SECONDS = 10.0
"""Time limit for a DynamoDB call by an operator command.

The app's limit is shorter, because TaskRouter waits for the app.
"""


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Report expected errors of a command, and signals, as a message and an exit code.

    The exit code is 1 for an error, and 128 plus the signal number for a signal.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        remedy = _NEW_PLAN if kwargs.get("plan_file") else _REPEAT
        try:
            check_variables(os.environ)
            command(*args, **kwargs)
        except BrokenPipeError:
            raise  # click ends the command silently if the process that reads its output has exited
        except REPORTED_ERRORS as error:
            message = describe_error(error, kwargs.get("stage_name"))
            raise click.ClickException(message) from error
        except Interrupted as signal:
            _exit(signal, remedy)
        except click.Abort as abort:
            # click replaces a KeyboardInterrupt during a prompt with Abort.
            cause = abort.__context__
            if not isinstance(cause, EOFError | Interrupted):
                raise
            with suppress(OSError):
                click.echo(err=True)  # ends the line of the prompt
            if isinstance(cause, Interrupted):
                _exit(cause, remedy)
            raise _input_ended() from abort

    return run


def _input_ended() -> click.ClickException:
    if sys.stdin.isatty():
        return click.ClickException(f"Ctrl-D ended the command. {_REPEAT}")
    return click.ClickException(
        "The input ended before you confirmed. Without a terminal, confirm in advance: python -m "
        f"infra {click.get_current_context().info_name} ... --yes"
    )


def _exit(signal: Interrupted, remedy: str) -> NoReturn:
    with suppress(OSError):  # the terminal may be closed
        click.echo(f"{signal.name} ended the command. {remedy}", err=True)
    raise SystemExit(signal.exit_code) from signal


def describe_error(error: Exception, stage_name: str | None = None) -> str:
    """Return the message of an expected error.

    Args:
        error: The error. The message for a file error names the file.
        stage_name: The stage of the command, for an error about a missing part of the stage.
    """
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} can't be read or written: {error.strerror}."
    if isinstance(error, ProfileNotFound):
        return f"{error}. Correct AWS_PROFILE. To list the names, run: aws configure list-profiles"
    if isinstance(error, BotoCoreError) and (url := error.kwargs.get("endpoint_url")):
        failure = describe_connection_failure(str(url), error)
        advice = (
            "Check the network, AWS_DEFAULT_REGION (or the region of the AWS profile) and, if set, "
            "AWS_ENDPOINT_URL."
        )
        is_local = stage_name == _LOCAL_STAGE
        return f"AWS {failure}. {'Start the local stack: make run' if is_local else advice}"
    description = describe_aws_error(error) if isinstance(error, ClientError) else str(error)
    response = error.__cause__ if isinstance(error, (StoreUnavailable, OperatorError)) else error
    if stage_name is None or not isinstance(response, ClientError):
        return description
    remedy = _REMEDIES.get(response.response["Error"]["Code"])
    if remedy is None:
        return description
    problem = f"A part of stage {stage_name} does not exist. {description.removesuffix(' Retry.')}"
    is_local = stage_name == _LOCAL_STAGE
    command = "make run" if is_local else f"python -m infra {remedy} --stage {stage_name}"
    return f"{problem} Run: {command}"


def connect_to_stage(stage: Stage, note: str = "") -> Aws:
    """Connect to the stage's account and region, and print them with a note.

    Raises:
        OperatorError: No region is set, there are no credentials, or the stage is in another
            account or region.
    """
    aws = connect()
    click.echo(f"Stage {stage.name}: account {aws.account}, {aws.region}{note}", err=True)
    chalice_record.ensure_same_account_and_region(aws, stage)
    return aws


def describe_undeployed(aws: Aws, stage: Stage) -> str:
    """Return the message for a stage that is not deployed in the selected account and region."""
    return f"Stage {stage.name} is not deployed in account {aws.account}, {aws.region}."


def connect_unless_local(stage_name: str, settings: config.Settings) -> None:
    """Call `connect_to_stage` if the stage sets SECRETS_PARAMETER, as every stage in AWS does."""
    if settings.secrets_parameter:
        connect_to_stage(stage_config.describe(stage_name, settings))


def open_store(settings: config.Settings) -> DynamoReservationStore:
    """Return the store of a stage's Reservation records, for an operator command."""
    return DynamoReservationStore(
        make_client(_STORE_SECONDS),
        reservations_table=settings.reservations_table,
        state_table=settings.state_table,
        retention_days=settings.retention_days,
    )
