"""The stages of .chalice/config.json: which environment each one gives the app."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib import config
from infra.errors import OperatorError

CONFIG = Path(__file__).parents[2] / ".chalice" / "config.json"


def environment(stage: str, environ: Mapping[str, str], *, config: Path = CONFIG) -> dict[str, str]:
    """A stage's variables, laid under the shell's.

    Args:
        stage: A name under "stages" in the configuration.
        environ: The shell's variables; they win.
        config: The configuration file.

    Raises:
        OperatorError: There is no such stage, or the file can't be read.
    """
    whole = project(config)
    stages = whole.get("stages", {})
    if stage not in stages:
        known = ", ".join(sorted(stages)) or "none"
        raise OperatorError(f"There is no stage {stage!r} in {config.name}; it has: {known}.")
    variables: dict[str, str] = {}
    for level in (whole, stages[stage]):
        variables |= level.get("environment_variables", {})
    return {**variables, **environ}


def project(config: Path = CONFIG) -> Any:
    """The whole configuration; raises OperatorError where the file can't be read."""
    try:
        return json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{config} can't be read: {error}") from error


PROJECT = CONFIG.parent.parent

# Lambda sets it; with it the settings are checked as they will be there.
_IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "deploying"}

_LEVELS = ("DEBUG", "INFO")

API = "api_handler"
SWEEP = "sweep"


@dataclass(frozen=True)
class Stage:
    """A stage, with the names that its parts have in AWS.

    Attributes:
        name: under "stages" in config.json.
        app: the app's name.
        api_stage: API Gateway's, the first part of every path.
        settings: what the functions will read.
        policy_files: by handler, relative to `.chalice`.
        domain: the domain of one's own that leads to the API, if there is one.
    """

    name: str
    app: str
    api_stage: str
    settings: config.Settings
    policy_files: dict[str, str]
    domain: str | None = None

    def function(self, handler: str) -> str:
        """Name a handler's function, as Chalice does."""
        whole = f"{self.app}-{self.name}"
        return whole if handler == API else f"{whole}-{handler}"

    def role(self, handler: str) -> str:
        """Name a handler's role, as Chalice does."""
        return f"{self.app}-{self.name}-{handler}"

    def log_group(self, handler: str) -> str:
        """Name a handler's log group, as Lambda does."""
        return f"/aws/lambda/{self.function(handler)}"

    @property
    def schedule(self) -> str:
        """The EventBridge rule that starts the sweep, as Chalice names it."""
        return f"{self.function(SWEEP)}-event"

    @property
    def stack(self) -> str:
        """The CloudFormation stack of what is not Chalice's."""
        return f"{self.app}-{self.name}"

    @property
    def deployed_file(self) -> Path:
        """Where Chalice records what it deployed."""
        return PROJECT / ".chalice" / "deployed" / f"{self.name}.json"


def read(name: str) -> Stage:
    """Read a stage and check that it can be deployed.

    Raises:
        OperatorError: there is no such stage, or it lacks something.
        chalicelib.config.SettingsError: the functions would refuse one of its settings.
    """
    environ = environment(name, {})
    try:
        settings = config.load({**environ, **_IN_LAMBDA})
    except config.SettingsError as error:
        raise OperatorError(f"Stage {name} of .chalice/config.json: {error}") from error
    if not settings.secrets_parameter:
        raise OperatorError(
            f"Stage {name} of .chalice/config.json: SECRETS_PARAMETER is not set. Secrets do not "
            "belong into a function's environment."
        )
    if settings.log_level not in _LEVELS:
        raise OperatorError(
            f"Stage {name} of .chalice/config.json: LOG_LEVEL must be {' or '.join(_LEVELS)}, "
            "because the alarms are read from the lines of requests and sweeps."
        )
    whole = project()
    stage: dict[str, Any] = whole["stages"][name]
    functions = stage.get("lambda_functions", {})
    try:
        policy_files = {handler: functions[handler]["iam_policy_file"] for handler in (API, SWEEP)}
    except KeyError as error:
        raise OperatorError(
            f"Stage {name} of .chalice/config.json names no iam_policy_file for {error}."
        ) from error
    api_stage = stage.get("api_gateway_stage", "api")
    if api_stage != name:
        # Chalice names the API of every stage by the app: only this tells their metrics apart.
        raise OperatorError(f"Stage {name} of .chalice/config.json: api_gateway_stage must be it.")
    domain = stage.get("api_gateway_custom_domain", {})
    _check_domain(name, domain, settings)
    return Stage(
        name=name,
        app=whole["app_name"],
        api_stage=api_stage,
        settings=settings,
        policy_files=policy_files,
        domain=domain.get("domain_name"),
    )


def _check_domain(name: str, domain: dict[str, str], settings: config.Settings) -> None:
    """Refuse an address that signatures would be checked against, and that is not the API's."""
    if not domain:
        return
    prefix = domain.get("url_prefix", "").replace("(none)", "").strip("/")
    address = f"https://{domain.get('domain_name')}/{prefix}".rstrip("/")
    if settings.public_base_url != address:
        raise OperatorError(
            f"Stage {name} of .chalice/config.json: PUBLIC_BASE_URL must be {address}, as "
            "api_gateway_custom_domain says. Signatures are checked against it."
        )
