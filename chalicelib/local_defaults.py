"""A file of settings for a laptop, laid under the environment: what the shell sets wins."""

import hashlib
import re
from collections.abc import MutableMapping
from pathlib import Path

from chalicelib.config import SettingsError

_PROJECT = Path(__file__).parent.parent
_LINE = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_HASH = re.compile(r"\{hash:(?P<name>[^}]+)\}")


def lay_under(environ: MutableMapping[str, str], path: str) -> None:
    """Set in *environ* what the file sets and *environ* does not.

    Args:
        environ: the environment.
        path: the file, from the project's root: lines of ``NAME=value``, and comments. In a value
            ``{hash:NAME}`` stands for a made-up SID's or key's 32 hexadecimal digits, so that no
            scanner takes what is written in the file for a real one.

    Raises:
        SettingsError: there is no such file, or a line is neither.
    """
    try:
        lines = (_PROJECT / path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(
            f"SETTINGS_DEFAULTS names a file that can't be read: {path}."
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"SETTINGS_DEFAULTS, line {number} of {path} is not NAME=value.")
        environ.setdefault(match["name"], _HASH.sub(_made_up, match["value"]))


def _made_up(match: re.Match[str]) -> str:
    seed = "taskrouter-simulator/" + match["name"]
    return hashlib.sha256(seed.encode()).hexdigest()[:32]
