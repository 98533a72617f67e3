"""Reads rules files."""

import tomllib
from pathlib import Path

from chalicelib.config import PROJECT, SettingsError
from chalicelib.domain.instructions import Defer, Instruction
from chalicelib.domain.rules import InvalidRules, Rule, Rules, parsing


class RulesError(SettingsError):
    """A rules file can't be used. The message has one line per mistake."""


def read(path: Path) -> tuple[Rule, ...]:
    """Read and check the rules in a file; raise RulesError like `load`."""
    return load(path, default=Defer()).rules


def load(path: Path, *, default: Instruction) -> Rules:
    """Read and check a TOML file of rules.

    Args:
        path: the file.
        default: the answer if no rule determines one.

    Raises:
        RulesError: The file can't be read or contains mistakes.
    """
    display_path = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    try:
        # Some editors write a byte order mark, which TOML does not allow.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        rules = parsing.parse_rules(document)
        return Rules(rules, default, unreadable=parsing.parse_unreadable(document))
    except OSError as error:
        raise RulesError(f"The rules file {display_path} can't be read.") from error
    except InvalidRules as error:
        raise RulesError(
            "\n".join(f"{display_path}: {problem}" for problem in error.problems)
        ) from error
    except UnicodeDecodeError as error:
        raise RulesError(f"{display_path}: the file is not UTF-8. Save it as UTF-8.") from error
    except RecursionError as error:
        raise RulesError(f"{display_path}: the file is nested too deeply.") from error
    except ValueError as error:  # raised by tomllib, or by int() for thousands of digits
        raise RulesError(f"{display_path}: the file is not valid TOML: {error}.") from error
