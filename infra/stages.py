"""The stages of .chalice/config.json: which environment each one gives the app."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.errors import OperatorError

CONFIG = Path(__file__).parent.parent / ".chalice" / "config.json"


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
