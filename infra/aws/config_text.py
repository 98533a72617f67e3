"""Parses the text of .chalice/config.json, and checks that its stages are objects."""

import json
from typing import Any

from chalicelib.domain.json_text import BYTE_ORDER_MARK
from chalicelib.domain.messages import display_name
from infra import OperatorError
from infra.aws.config_file import FILE


class _Object(dict[str, Any]):
    """A JSON object; `repeated` is the first name that its text repeats, or None."""

    def __init__(self, entries: list[tuple[str, Any]]) -> None:
        super().__init__(entries)
        names = [name for name, _ in entries]
        self.repeated = next((name for name in self if names.count(name) > 1), None)


def parse(text: str) -> dict[str, Any]:
    """Parse the text of the file, and check that each stage is an object.

    Raises:
        OperatorError: The text begins with a byte order mark, is not valid JSON, repeats a name in
            an object, or is not an object whose stages are objects.
    """
    if text.startswith(BYTE_ORDER_MARK):
        raise OperatorError(
            f"{FILE} begins with a byte order mark, which Chalice can't read. Save the file "
            "as UTF-8 without a byte order mark."
        )
    try:
        content = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        raise OperatorError(
            f"{FILE} can't be read: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise OperatorError(
            f"{FILE} can't be read: a number has too many digits, or values are nested too deeply."
        ) from error
    if not isinstance(content, dict):
        raise OperatorError(f'{FILE} must contain a JSON object with a "stages" key.')
    _refuse_repeated_names(content)
    stages = content.setdefault("stages", {})
    if not isinstance(stages, dict):
        raise OperatorError(f'{FILE}: "stages" must be an object with one entry per stage.')
    for name, stage in stages.items():
        if not isinstance(stage, dict):
            raise OperatorError(f"{FILE}: the stage {name} must be an object.")
    return content


def _refuse_repeated_names(content: dict[str, Any]) -> None:
    """Raise OperatorError if an object repeats a name. The message identifies the object."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, list):
            pending += [(path, entry) for entry in value]
        if not isinstance(value, _Object):
            continue
        if value.repeated is not None:
            place = f" in {'.'.join(map(display_name, path))}" if path else ""
            raise OperatorError(
                f"{FILE} can't be read: "
                f'it repeats the name "{display_name(value.repeated)}"{place}.'
            )
        pending += [((*path, name), entry) for name, entry in value.items()]
