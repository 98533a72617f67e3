"""Finds resources that several stages in .chalice/config.json use.

Only the command's own stage has been checked, so the variables of other stages may have any type.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from infra.aws.config_file import invalid

_TABLES = ("RESERVATIONS_TABLE", "STATE_TABLE")
_WORKSPACE = "TWILIO_WORKSPACE_SID"
_TABLE_NAME = re.compile("[A-Za-z0-9_.-]{3,255}")


def variables_of(project: Mapping[str, Any], stage_name: str) -> dict[str, Any]:
    """Return the variables that the parsed file sets for all functions of a stage."""
    variables: dict[str, Any] = {}
    for level in (project, project["stages"][stage_name]):
        own = level.get("environment_variables")
        variables |= own if isinstance(own, dict) else {}
    return variables


def _function_variables(project: Mapping[str, Any], stage_name: str) -> Iterator[dict[str, Any]]:
    """Yield the variables that the parsed file sets for individual functions of a stage."""
    functions = project["stages"][stage_name].get("lambda_functions")
    for function in functions.values() if isinstance(functions, dict) else ():
        own = function.get("environment_variables") if isinstance(function, dict) else None
        if isinstance(own, dict):
            yield own


def ensure_own_tables(project: Mapping[str, Any], stage_name: str) -> None:
    """Check that a stage shares no table, except with stages for local use.

    Raises:
        OperatorError: Two stages use the same table. The message names both.
    """
    own = variables_of(project, stage_name)
    if "SETTINGS_DEFAULTS" in own:
        return
    for other_stage, variables in _other_stages(project, stage_name):
        for name, other_name in product(_TABLES, repeat=2):
            table = _text(own, name)
            is_shared = table and table == _text(variables, other_name)
            if is_shared and "SETTINGS_DEFAULTS" not in variables:
                raise invalid(
                    stage_name,
                    f"{name} must not be {table}, which is also the {other_name} of stage "
                    f"{other_stage}, because each stage needs its own tables.",
                )


def ensure_own_workspace(project: Mapping[str, Any], stage_name: str, sid: str) -> None:
    """Check that no other stage uses the same Workspace, ignoring stages for local use.

    Args:
        project: The parsed file.
        stage_name: The stage whose Workspace a definition describes.
        sid: SID of the Workspace.

    Raises:
        OperatorError: Two stages use the same Workspace. The message names both.
    """
    is_configured = _uses_workspace(variables_of(project, stage_name), sid)
    remedy = (
        "If the stages share the Workspace on purpose, remove workspace_file, and change the "
        "Workspace without this command."
        if is_configured
        else "Or change the Workspace's friendly_name in the definition."
    )
    for other_stage, variables in _other_stages(project, stage_name):
        levels = (variables, *_function_variables(project, other_stage))
        if "SETTINGS_DEFAULTS" not in variables and any(
            _uses_workspace(level, sid) for level in levels
        ):
            raise invalid(
                stage_name,
                f"the Workspace {sid} is also used by stage {other_stage} ({_WORKSPACE}). A "
                "definition must not change the Workspace of another stage. Set "
                f"{_WORKSPACE} for stage {stage_name} to the SID of another Workspace. {remedy}",
            )


def _uses_workspace(variables: Mapping[str, Any], sid: str) -> bool:
    # Other stages have not been checked, so their SIDs may contain uppercase hexadecimal digits.
    return _text(variables, _WORKSPACE).lower() == sid.lower()


def check_tables(stage_name: str, *tables: str) -> None:
    """Check that DynamoDB allows the table names, and that the names differ.

    Args:
        stage_name: A name under "stages" in config.json.
        tables: The names of the Reservations table and of the state table.

    Raises:
        OperatorError: A name is invalid, or the names are equal.
    """
    for name, table in zip(_TABLES, tables, strict=True):
        if not _TABLE_NAME.fullmatch(table):
            raise invalid(
                stage_name,
                f"{name} must be 3 to 255 letters, digits, hyphens, underscores and periods.",
            )
    if len({*tables}) < len(tables):
        raise invalid(stage_name, f"{' and '.join(_TABLES)} must differ.")


def stages_with_parameter(project: Mapping[str, Any], stage_name: str, parameter: str) -> list[str]:
    """Return the names of the other stages whose SECRETS_PARAMETER is this parameter."""
    return [
        name
        for name, variables in _other_stages(project, stage_name)
        # A name with a leading slash has the same ARN as the name without the slash.
        if _text(variables, "SECRETS_PARAMETER").lstrip("/") == parameter.lstrip("/")
    ]


def _other_stages(
    project: Mapping[str, Any], stage_name: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in project["stages"]:
        if name != stage_name:
            yield name, variables_of(project, name)


def _text(variables: Mapping[str, Any], name: str) -> str:
    return str(variables.get(name, "")).strip()
