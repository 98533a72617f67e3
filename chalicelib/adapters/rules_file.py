"""The file of rules that the setting RULES_FILE names."""

import tomllib
from pathlib import Path

from chalicelib.config import PROJECT, SettingsError
from chalicelib.domain.rules import InvalidRules, Rule, parsing


class RulesError(SettingsError):
    """The file can't be used; the message has a line for each thing that is wrong with it."""


def read(path: Path) -> tuple[Rule, ...]:
    """Read rules from a TOML file, and check all of it.

    Raises:
        RulesError: there is no such file, or something is wrong with it.
    """
    shown = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    try:
        # Some editors begin a file with a byte order mark, which TOML does not know.
        return parsing.parse_rules(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise RulesError(f"RULES_FILE names a file that can't be read: {shown}.") from error
    except InvalidRules as error:
        raise RulesError("\n".join(f"{shown}: {one}" for one in error.problems)) from error
    except UnicodeDecodeError as error:
        raise RulesError(f"{shown}: it must be UTF-8.") from error
    except RecursionError as error:
        raise RulesError(f"{shown}: it nests too deep.") from error
    except ValueError as error:  # tomllib's, or Python's of a number with thousands of digits
        raise RulesError(f"{shown}: it is not TOML: {error}.") from error
