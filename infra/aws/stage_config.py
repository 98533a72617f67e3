"""Stages declared in .chalice/config.json: settings and AWS resource names."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chalice.config import Config as ChaliceConfig

from chalicelib import config
from infra import OperatorError
from infra.aws import config_file, config_text, shared_names
from infra.aws.config_file import FILE, invalid

CONFIG = config.PROJECT / ".chalice" / "config.json"

API = config_file.API
SWEEP = config_file.SWEEP

# A variable that Lambda sets. With this variable, settings are validated as they are on Lambda.
_ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "deploying"}

_LOG_LEVELS = ("DEBUG", "INFO")

_MAX_STAGE_NAME_LENGTH = 16
"""Maximum length of a stage's name, so that no resource's name is too long.

The bucket's name, app-STAGE-deployments-RANDOM with 13 random characters, may have at most 63
characters. CloudFormation would shorten a longer name, and `stacks.regions` would not find the
bucket.
"""

_STAGE_NAME = re.compile(f"[A-Za-z0-9-]{{1,{_MAX_STAGE_NAME_LENGTH}}}")

_MAX_VARIABLES_BYTES = 4_096
"""Lambda's limit for all variables of a function, as JSON."""

DEFAULTS = "SETTINGS_DEFAULTS"
"""Variable of the local stage. A stage with this variable can't be deployed."""

SID_PREFIXES = {
    "TWILIO_ACCOUNT_SID": "AC",
    "TWILIO_WORKSPACE_SID": "WS",
    "TWILIO_WORKFLOW_SID": "WW",
}
"""The SIDs that every stage needs, and their prefixes."""


class UndeclaredStage(OperatorError):
    """The file config.json declares no stage with this name."""


@dataclass(frozen=True)
class Stage:
    """A stage, with the names of its AWS resources.

    Attributes:
        name: Name under "stages" in config.json; also the name of the API Gateway stage, which
            is the first path segment of the invoke URL.
        app: Name of the Chalice app.
        settings: The settings that the functions will read.
        domain: Custom domain of the API, or None.
        xray: Whether X-Ray traces the API and the functions.
        access_logs: Whether the API's stage writes an access log.
        reserved_concurrency: Reserved concurrency of the API's function, or None.
        reserved_sweep_concurrency: Reserved concurrency of the sweep, or None.
        workspace_file: Path of the Workspace's definition, relative to the project, or None.
    """

    name: str
    app: str
    settings: config.Settings
    domain: str | None = None
    xray: bool = False
    access_logs: bool = False
    reserved_concurrency: int | None = None
    reserved_sweep_concurrency: int | None = None
    workspace_file: str | None = None

    @property
    def stack(self) -> str:
        """The name of the CloudFormation stack with the resources that Chalice does not manage."""
        return f"{self.app}-{self.name}"

    def function(self, handler: str) -> str:
        """Return the name that Chalice gives to a handler's function."""
        prefix = f"{self.app}-{self.name}"
        return prefix if handler == API else f"{prefix}-{handler}"

    def role(self, handler: str) -> str:
        """Return the name that Chalice gives to a handler's role."""
        return f"{self.app}-{self.name}-{handler}"

    def policy_file(self, handler: str) -> str:
        """Return the path of a handler's policy, relative to `.chalice`."""
        return f"policies/{self.name}-{handler}.json"

    def log_group(self, handler: str) -> str:
        """Return the name of the log group to which Lambda writes a handler's output."""
        return f"/aws/lambda/{self.function(handler)}"

    @property
    def access_log_group(self) -> str:
        """The name of the log group for the access log of the API."""
        return f"/aws/apigateway/{self.stack}"

    @property
    def schedule(self) -> str:
        """The name that Chalice gives to the EventBridge rule that starts the sweep."""
        return f"{self.function(SWEEP)}-event"

    @property
    def deployed_file(self) -> Path:
        """The file in the checkout in which Chalice records deployed resources."""
        return config.PROJECT / ".chalice" / "deployed" / f"{self.name}.json"


def project() -> dict[str, Any]:
    """Return the parsed content of config.json.

    Raises:
        OperatorError: The file cannot be read, is not UTF-8, or is invalid (see
            `config_text.parse`).
    """
    try:
        return config_text.parse(CONFIG.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise OperatorError(
            f"{FILE} is not UTF-8. Save the file as UTF-8 without a byte order mark."
        ) from error
    except OSError as error:
        raise OperatorError(f"{FILE} can't be read: {error.strerror}.") from error


def environment(stage_name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a stage and of the shell.

    Args:
        stage_name: A name under "stages" in config.json.
        environ: Variables of the shell, which take precedence.

    Raises:
        UndeclaredStage: There is no such stage.
        OperatorError: The file config.json can't be read, or contains an unknown key, a wrong type
            or value, or a secret, or two stages use the same table.
    """
    project_config = project()
    stages = project_config["stages"]
    if stage_name not in stages:
        names = ", ".join(sorted(stages)) or "none"
        hint = config_file.suggest(stage_name, stages)
        raise UndeclaredStage(
            f"There is no stage {stage_name!r} in {CONFIG.name}. Declared stages: {names}.{hint}"
        )
    config_file.check(project_config, stage_name)
    shared_names.ensure_own_tables(project_config, stage_name)
    return {**shared_names.variables_of(project_config, stage_name), **environ}


def set_variables(stage_name: str, variables: Mapping[str, str]) -> None:
    """Set environment variables of a stage in config.json, preserving the order of the file.

    The file is replaced as a whole, so an interruption leaves either the old or the new file.
    """
    content = project()
    content["stages"][stage_name].setdefault("environment_variables", {}).update(variables)
    path = CONFIG.resolve()  # keeps a symbolic link
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copymode(path, temporary)
    temporary.replace(path)


def empty_sids(stage_name: str) -> list[str]:
    """Return the names of the required Twilio SIDs that a stage does not set."""
    return _empty_sids(environment(stage_name, {}))


def _empty_sids(variables: Mapping[str, str]) -> list[str]:
    return [name for name in SID_PREFIXES if not variables.get(name, "").strip()]


def refuse_empty_sids(
    stage_name: str,
    variables: Mapping[str, str],
    *,
    find_location: Callable[[str], str | None] = lambda _stage_name: None,
) -> None:
    """Raise OperatorError if a stage's variables lack a required Twilio SID.

    Args:
        stage_name: A name under "stages" in config.json.
        variables: The variables of the stage.
        find_location: Returns the account and region in which the stage is deployed, or None.
            Called only if a SID is missing.
    """
    if not (missing := _empty_sids(variables)):
        return
    names = ", ".join(missing)
    if location := find_location(stage_name):
        remedy = (
            f"The stage is deployed in {location}. Set {names} under environment_variables of the "
            "stage to the deployed values."
        )
    else:
        remedy = (
            "Run this command, which asks for the values and deploys the stage: "
            f"python -m infra deploy --stage {stage_name}"
        )
    raise OperatorError(f"Stage {stage_name} in {FILE} does not set {names}. {remedy}")


def read(
    stage_name: str, changes: Mapping[str, str] | None = None, *, allow_empty_sids: bool = False
) -> Stage:
    """Return a stage after checking its declaration.

    Does not check settings that depend on each other; `ensure_runnable` does.

    Args:
        stage_name: A name under "stages" in config.json.
        changes: Variables that override those of the stage.
        allow_empty_sids: Whether the Twilio SIDs may be empty. The returned settings then contain
            placeholders instead of the empty SIDs.

    Raises:
        OperatorError: The stage is not declared, or its declaration is incomplete, wrong or
            inconsistent.
    """
    overrides = {**(changes or {})}
    empty = _empty_sids(environment(stage_name, overrides))
    if not _STAGE_NAME.fullmatch(stage_name):
        raise invalid(
            stage_name,
            f"the stage's name must be 1 to {_MAX_STAGE_NAME_LENGTH} letters, digits and hyphens, "
            "because the names of AWS resources contain it.",
        )
    overrides |= {name: SID_PREFIXES[name] + "0" * 32 for name in empty if allow_empty_sids}
    settings = _settings(stage_name, overrides)
    described = describe(stage_name, settings)
    project_config = project()
    stage: dict[str, Any] = project_config["stages"][stage_name]
    if stage.get("api_gateway_stage", "api") != stage_name:
        # Chalice names the API of every stage after the app. In CloudWatch, only the API Gateway
        # stage distinguishes the metrics of two stages.
        raise invalid(stage_name, f"api_gateway_stage must equal the stage name ({stage_name}).")
    functions: dict[str, Any] = stage.get("lambda_functions", {})
    for handler in (API, SWEEP):
        own = functions.get(handler, {}).get("environment_variables", {})
        _check_function_variables(stage_name, handler, {**overrides, **own})
    api, sweep = (_resolve(project_config, stage_name, handler) for handler in (API, SWEEP))
    config_file.check_combinations(project_config, stage_name)
    _check_api_timeout(stage_name, api.lambda_timeout)
    domain = stage.get("api_gateway_custom_domain")
    if domain is not None:
        _check_domain(stage_name, domain, settings)
    _check_policy_files(described, functions)
    return replace(
        described,
        domain=domain and domain["domain_name"],
        xray=bool(api.xray_enabled),
        access_logs=stage.get("access_logs", False),
        reserved_concurrency=api.reserved_concurrency,
        reserved_sweep_concurrency=sweep.reserved_concurrency,
        workspace_file=stage.get("workspace_file"),
    )


def _resolve(content: dict[str, Any], stage_name: str, handler: str) -> ChaliceConfig:
    """Return a function's configuration from config.json, as Chalice resolves it."""
    return ChaliceConfig(chalice_stage=stage_name, function_name=handler, config_from_disk=content)


def describe(stage_name: str, settings: config.Settings) -> Stage:
    """Return a stage with only its names and the given settings.

    Raises:
        OperatorError: The file does not set app_name.
    """
    project_config = project()
    if "app_name" not in project_config:
        raise invalid(stage_name, f"the file must set app_name to {config_file.APP_NAME}.")
    return Stage(stage_name, project_config["app_name"], settings)


def _check_function_variables(stage_name: str, handler: str, variables: Mapping[str, str]) -> None:
    """Check the variables of one function, which override the stage's variables."""
    _settings(stage_name, variables)
    text = json.dumps(environment(stage_name, variables), ensure_ascii=False)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > _MAX_VARIABLES_BYTES:
        raise invalid(
            stage_name,
            f"the variables of {handler} take {size} bytes, but Lambda allows at most "
            f"{_MAX_VARIABLES_BYTES}. Shorten the longest value.",
        )


def function_variables(stage_name: str, handler: str) -> dict[str, str]:
    """Return the environment variables that a deployment gives to a function of a stage."""
    return dict(_resolve(project(), stage_name, handler).environment_variables)


def ensure_runnable(stage: Stage) -> None:
    """Check that no contradictory settings would prevent the functions from starting.

    Raises:
        OperatorError: Settings contradict each other.
    """
    try:
        config.check_combinations(stage.settings, on_lambda=True)
    except config.SettingsError as error:
        raise invalid(stage.name, error) from error


def _check_api_timeout(stage_name: str, seconds: int | None) -> None:
    if seconds != config.API_TIMEOUT_SECONDS:
        raise invalid(
            stage_name,
            f"lambda_functions.{API}.lambda_timeout must be {config.API_TIMEOUT_SECONDS} "
            "(Chalice's default is 60). With a shorter timeout, Lambda could end requests that "
            "wait for TaskRouter or DynamoDB. With a longer timeout, a request could continue "
            "after API Gateway has stopped waiting.",
        )


def _settings(stage_name: str, overrides: Mapping[str, str]) -> config.Settings:
    variables = environment(stage_name, overrides)
    if DEFAULTS in variables:
        stages = project()["stages"]
        deployable = [name for name in stages if DEFAULTS not in environment(name, {})]
        raise invalid(
            stage_name,
            "SETTINGS_DEFAULTS is for local use only, so this stage can't be deployed. "
            f"Deployable stages: {', '.join(deployable) or 'none'}.",
        )
    refuse_empty_sids(stage_name, variables)
    if not variables.get("SECRETS_PARAMETER", "").strip():
        raise invalid(
            stage_name,
            "SECRETS_PARAMETER is not set. The setting must name the parameter that holds the "
            "secrets, because secrets do not belong in a function's environment.",
        )
    try:
        settings = config.read({**variables, **_ON_LAMBDA})
    except config.SettingsError as error:
        raise invalid(stage_name, error) from error
    shared_names.check_tables(stage_name, settings.reservations_table, settings.state_table)
    if settings.log_level not in _LOG_LEVELS:
        raise invalid(
            stage_name,
            f"LOG_LEVEL must be {' or '.join(_LOG_LEVELS)}, because the alarms depend on the log "
            "lines of requests and sweeps.",
        )
    return settings


def _check_policy_files(stage: Stage, functions: Mapping[str, Any]) -> None:
    """Check that config.json refers to the policy files that the deployment writes."""
    for handler in (API, SWEEP):
        file = stage.policy_file(handler)
        if functions.get(handler, {}).get("iam_policy_file") != file:
            raise invalid(
                stage.name,
                f"lambda_functions.{handler}.iam_policy_file must be {file}, which the "
                "deployment writes.",
            )


def _check_domain(stage_name: str, domain: Mapping[str, Any], settings: config.Settings) -> None:
    """Check that the domain has a name and a certificate, and that PUBLIC_BASE_URL is its URL."""
    for key in ("domain_name", "certificate_arn"):
        if key not in domain:
            raise invalid(stage_name, f"api_gateway_custom_domain.{key} is missing.")
    path = domain.get("url_prefix", "").replace("(none)", "").strip("/")
    url = f"https://{domain['domain_name'].lower()}/{path}".rstrip("/")
    if settings.public_base_url != url:
        raise invalid(
            stage_name,
            f"PUBLIC_BASE_URL must be {url}, to match api_gateway_custom_domain. Signatures are "
            "checked against PUBLIC_BASE_URL.",
        )
