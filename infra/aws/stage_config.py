"""Stages declared in .chalice/config.json: settings and AWS resource names."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib import config
from chalicelib.domain.json_text import BYTE_ORDER_MARK
from infra import OperatorError

CONFIG = config.PROJECT / ".chalice" / "config.json"
_FILE = ".chalice/config.json"

API = "api_handler"
SWEEP = "sweep"

# A variable that Lambda sets. With this variable, settings are validated as they are on Lambda.
_ON_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "deploying"}

_LOG_LEVELS = ("DEBUG", "INFO")

_MAX_ENVIRONMENT_BYTES = 4_096
"""Maximum size of a function's environment variables.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

_EXAMPLE_SIDS = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_WORKSPACE_SID": "WS" + "0" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "0" * 32,
}


@dataclass(frozen=True)
class Stage:
    """A stage, with the names of its AWS resources.

    Attributes:
        name: Name under "stages" in config.json; also the name of the API Gateway stage, which
            is the first path segment of the invoke URL.
        app: Name of the Chalice app.
        settings: The settings that the functions will read.
        policy_files: Policy file of each handler, relative to `.chalice`.
        domain: Custom domain of the API, or None.
    """

    name: str
    app: str
    settings: config.Settings
    policy_files: dict[str, str]
    domain: str | None = None

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

    def log_group(self, handler: str) -> str:
        """Return the name of the log group to which Lambda writes a handler's output."""
        return f"/aws/lambda/{self.function(handler)}"

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
        OperatorError: The file cannot be read, is not JSON, or does not contain an object with
            stages that are objects.
    """
    try:
        text = CONFIG.read_text(encoding="utf-8")
        if text.startswith(BYTE_ORDER_MARK):
            raise OperatorError(
                f"{_FILE} begins with a byte order mark, which Chalice can't read. Save the file "
                "as UTF-8 without a byte order mark."
            )
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{CONFIG} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise OperatorError(f"{_FILE} must contain a JSON object with the member stages.")
    stages = content.setdefault("stages", {})
    if not isinstance(stages, dict):
        raise OperatorError(f"{_FILE}: stages must be an object with one member per stage.")
    for name, stage in stages.items():
        if not isinstance(stage, dict):
            raise OperatorError(f"{_FILE}: the stage {name} must be an object.")
    return content


def environment(stage_name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a stage and of the shell.

    Args:
        stage_name: A name under "stages" in config.json.
        environ: Variables of the shell, which take precedence.

    Raises:
        OperatorError: There is no such stage, or config.json cannot be read, or the stage's
            environment_variables are not an object of strings.
    """
    project_config = project()
    stages = project_config["stages"]
    if stage_name not in stages:
        names = ", ".join(sorted(stages)) or "none"
        nearest = difflib.get_close_matches(stage_name, stages, n=1)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        raise OperatorError(
            f"There is no stage {stage_name!r} in {CONFIG.name}. Declared stages: {names}.{hint}"
        )
    variables: dict[str, str] = {}
    for level in (project_config, stages[stage_name]):
        declared_variables = level.get("environment_variables", {})
        if not isinstance(declared_variables, dict):
            raise _invalid(stage_name, "environment_variables must be an object.")
        variables |= declared_variables
    for name, value in variables.items():
        if not isinstance(value, str):
            raise _invalid(stage_name, f"{name} must be a string in quotation marks.")
    return {**variables, **environ}


def empty_sids(stage_name: str) -> list[str]:
    """Return the names of the required Twilio SIDs that a stage does not set."""
    variables = environment(stage_name, {})
    return [name for name in _EXAMPLE_SIDS if not variables.get(name, "").strip()]


def read(stage_name: str, *, allow_empty_sids: bool = False) -> Stage:
    """Return a stage after checking that it can be deployed.

    Args:
        stage_name: A name under "stages" in config.json.
        allow_empty_sids: Whether the Twilio SIDs may be empty. The returned settings then contain
            made-up SIDs instead of the empty SIDs.

    Raises:
        OperatorError: The stage is not declared, or its declaration is incomplete or
            inconsistent.
    """
    examples = empty_sids(stage_name) if allow_empty_sids else []
    settings = _settings(stage_name, {name: _EXAMPLE_SIDS[name] for name in examples})
    project_config = project()
    app_name: Any = project_config.get("app_name")
    if not _is_nonempty_string(app_name):
        raise _invalid(stage_name, "the file must set app_name to a non-empty string.")
    stage: dict[str, Any] = project_config["stages"][stage_name]
    if stage.get("api_gateway_stage", "api") != stage_name:
        # Chalice names the API of every stage after the app. In CloudWatch, only the API Gateway
        # stage distinguishes the metrics of two stages.
        raise _invalid(stage_name, f"api_gateway_stage must equal the stage name ({stage_name}).")
    if not _is_nonempty_string(stage.get("api_gateway_policy_file", "default.json")):
        raise _invalid(stage_name, "api_gateway_policy_file must be a file name, as a string.")
    domain = _read_object(stage_name, stage, "api_gateway_custom_domain")
    _check_domain(stage_name, domain, settings)
    functions = _read_object(stage_name, stage, "lambda_functions")
    return Stage(
        name=stage_name,
        app=app_name,
        settings=settings,
        policy_files=_policy_files(stage_name, functions),
        domain=domain.get("domain_name"),
    )


def _invalid(stage_name: str, problem: object) -> OperatorError:
    return OperatorError(f"Stage {stage_name} in {_FILE}: {problem}")


def _is_nonempty_string(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _read_object(stage_name: str, parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key, {})
    if not isinstance(value, dict):
        raise _invalid(stage_name, f"{key} must be an object.")
    return value


def _settings(stage_name: str, overrides: Mapping[str, str]) -> config.Settings:
    variables = environment(stage_name, overrides)
    if "SETTINGS_DEFAULTS" in variables:
        stages = project()["stages"]
        deployable = [name for name in stages if "SETTINGS_DEFAULTS" not in environment(name, {})]
        raise _invalid(
            stage_name,
            "SETTINGS_DEFAULTS is for local use only, so this stage can't be deployed. "
            f"Deployable stages: {', '.join(deployable) or 'none'}.",
        )
    texts = "".join([*variables, *variables.values()])
    size = len(texts.encode("utf-8", "surrogatepass"))
    if size > _MAX_ENVIRONMENT_BYTES:
        raise _invalid(
            stage_name,
            f"the names and values of environment_variables have {size} bytes as UTF-8, but Lambda "
            f"allows {_MAX_ENVIRONMENT_BYTES}. Shorten the longest value, such as VOICE_LANGUAGES.",
        )
    try:
        settings = config.load({**variables, **_ON_LAMBDA})
    except config.SettingsError as error:
        raise _invalid(stage_name, error) from error
    if not settings.secrets_parameter:
        raise _invalid(
            stage_name,
            "SECRETS_PARAMETER is not set. It must name the parameter that holds the secrets, "
            "because secrets do not belong in a function's environment.",
        )
    if settings.log_level not in _LOG_LEVELS:
        raise _invalid(
            stage_name,
            f"LOG_LEVEL must be {' or '.join(_LOG_LEVELS)}, because the alarms depend on the log "
            "lines of requests and sweeps.",
        )
    return settings


def _policy_files(stage_name: str, functions: Mapping[str, Any]) -> dict[str, str]:
    """Return the policy file of each handler, which the deployment overwrites."""
    files = {}
    for handler in (API, SWEEP):
        function = _read_object(stage_name, functions, handler)
        if "iam_policy_file" not in function:
            raise _invalid(stage_name, f"iam_policy_file is missing for {handler!r}.")
        file = function["iam_policy_file"]
        if not _is_nonempty_string(file) or not _is_policy_file(file):
            raise _invalid(
                stage_name,
                f"iam_policy_file of {handler} must be the path of a JSON file in .chalice, such "
                f"as policies/{stage_name}-{handler}.json.",
            )
        files[handler] = file
    if _resolve(files[API]) == _resolve(files[SWEEP]):
        raise _invalid(stage_name, f"iam_policy_file must differ between {API} and {SWEEP}.")
    return files


def _resolve(file: str) -> Path:
    return (CONFIG.parent / file).resolve()


def _is_policy_file(file: str) -> bool:
    try:
        path = _resolve(file)
        return (
            path.is_relative_to(CONFIG.parent.resolve())
            and path.suffix == ".json"
            and path != CONFIG.resolve()
            and not path.is_dir()
        )
    except ValueError:  # a null character
        return False


def _check_domain(stage_name: str, domain: Mapping[str, Any], settings: config.Settings) -> None:
    """Require PUBLIC_BASE_URL to be the URL of the custom domain."""
    if not domain:
        return
    for key, default in (("domain_name", None), ("url_prefix", "/")):
        if not isinstance(domain.get(key, default), str):
            raise _invalid(stage_name, f"{key} of api_gateway_custom_domain must be a string.")
    path = domain.get("url_prefix", "").replace("(none)", "").strip("/")
    url = f"https://{domain.get('domain_name')}/{path}".rstrip("/")
    if settings.public_base_url != url:
        raise _invalid(
            stage_name,
            f"PUBLIC_BASE_URL must be {url}, to match api_gateway_custom_domain. Signatures are "
            "checked against PUBLIC_BASE_URL.",
        )
