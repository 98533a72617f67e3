"""Questions to the operator, asked only in a terminal."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from chalicelib.domain.sids import is_sid


def is_terminal() -> bool:
    """Return whether the operator can read and answer questions.

    The questions are on standard error, because a program may read standard output.
    """
    return sys.stdin.isatty() and sys.stderr.isatty()


@dataclass(frozen=True)
class Dialog:
    """How a command gets decisions and missing values.

    Attributes:
        is_interactive: Whether the command may ask questions.
        assumes_yes: Whether changes are confirmed in advance.
    """

    is_interactive: bool
    assumes_yes: bool = False

    def confirm(self, question: str) -> bool:
        """Return whether the operator confirms a change; False if nobody can be asked."""
        if self.assumes_yes or not self.is_interactive:
            return self.assumes_yes
        return click.confirm(question, err=True)


def ask(question: str, *, default: str | None = None, parse: Callable[[str], str] = str) -> str:
    """Ask for a text, again if *parse* raises a UsageError."""
    answer: str = click.prompt(
        question, default=default, show_default=bool(default), value_proc=parse, err=True
    )
    return answer.strip()


def ask_for_sid(question: str, prefix: str) -> str:
    """Ask for a SID."""

    def parse(answer: str) -> str:
        if not is_sid(answer.strip(), prefix):
            raise click.UsageError(f"A SID is {prefix} followed by 32 hexadecimal digits.")
        return answer

    return ask(question, parse=parse)


def ask_for_secret(question: str) -> str:
    """Ask for a secret without showing the answer."""
    answer: str = click.prompt(f"{question} (not shown)", hide_input=True, err=True)
    return answer.strip()


def choose(kind: str, options: Sequence[tuple[str, str]]) -> str:
    """Ask for one of several resources.

    Args:
        kind: The name of the kind of resource.
        options: Pairs of SID and name.

    Returns:
        The SID of the chosen resource.
    """
    for index, (sid, name) in enumerate(options, start=1):
        click.echo(f"  {index}. {name} ({sid})", err=True)
    default: Any = 1 if len(options) == 1 else None
    numbers = click.IntRange(1, len(options))
    number: int = click.prompt(f"{kind}, by number", default=default, type=numbers, err=True)
    return options[number - 1][0]
