"""Prompts for the operator, and progress lines."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import click

from chalicelib import setting_types
from chalicelib.setting_types import checked_secret

PROGRESS_SECONDS = 5.0


def is_terminal() -> bool:
    """Return whether the operator can read and answer questions.

    Questions are printed to standard error, because a program may read standard output.
    """
    return sys.stdin.isatty() and sys.stderr.isatty()


@dataclass(frozen=True)
class Dialog:
    """Asks the operator to confirm changes, or assumes the answer.

    Attributes:
        is_interactive: Whether the command may ask questions.
        assumes_yes: Whether changes are confirmed in advance.
    """

    is_interactive: bool
    assumes_yes: bool = False

    def confirm(self, question: str) -> bool:
        """Ask the operator to confirm a change; return `assumes_yes` if the command may not ask."""
        if self.assumes_yes or not self.is_interactive:
            return self.assumes_yes
        return confirm(question)


def confirm(question: str) -> bool:
    """Ask for yes or no; an empty answer means no."""
    return ask(f"{question} [y/N]", default="", parse=_parse_yes_or_no) == "y"


def _parse_yes_or_no(answer: str) -> str:
    answer = answer.strip().lower()
    if answer not in ("", "y", "yes", "n", "no"):
        raise click.UsageError("Answer y for yes, or n for no.")
    return answer[:1]


def ask(question: str, *, default: str | None = None, parse: Callable[[str], str] = str) -> str:
    """Ask for text.

    The question is repeated if *parse* raises a UsageError, or if the answer is empty and there is
    no default.
    """

    def parse_required(answer: str) -> str:
        if not answer.strip() and default is None:
            raise click.UsageError("The answer must not be empty.")
        return parse(answer)

    # Without a default, click would ask again without giving a reason.
    answer: str = click.prompt(
        question,
        default=default or "",
        show_default=bool(default),
        value_proc=parse_required,
        err=True,
    )
    return answer.strip()


def ask_for_sid(question: str, prefix: str, *, default: str | None = None) -> str:
    """Ask until the answer is a SID, or is empty and there is a default."""

    def parse(answer: str) -> str:
        try:
            return answer.strip() and setting_types.sid(prefix)(answer.strip())
        except ValueError as error:
            raise click.UsageError(f"A SID {error}.") from error

    return ask(question, default=default, parse=parse)


def ask_for_secret(question: str, *, default: str | None = None) -> str:
    """Ask for a secret, without showing it, until it is printable ASCII.

    The answer may be empty only if there is a default.
    """
    while True:
        answer: str = click.prompt(
            f"{question} (not shown)",
            default=default or "",
            show_default=False,
            hide_input=True,
            err=True,
        )
        if not answer.strip() and default is None:
            click.echo("Error: The answer must not be empty.", err=True)
            continue
        try:
            return checked_secret(answer.strip())
        except ValueError as error:  # click hides the error message for a hidden answer
            click.echo(f"Error: The secret {error}.", err=True)


def choose(kind: str, options: Sequence[tuple[str, str]]) -> str:
    """Ask the operator to choose a resource.

    Args:
        kind: The kind of resource, such as "Workspace".
        options: Pairs of SID and name.

    Returns:
        The SID of the chosen resource.
    """
    for index, (sid, name) in enumerate(options, start=1):
        click.echo(f"  {index}. {name} ({sid})", err=True)
    numbers = [str(number) for number in range(1, len(options) + 1)]

    def parse(answer: str) -> str:
        if answer.strip() not in numbers:
            allowed = (
                f"a number from 1 to {numbers[-1]}"
                if len(numbers) > 1
                else f"1, the number of the only {kind}"
            )
            raise click.UsageError(f"Enter {allowed}.")
        return answer

    default = numbers[0] if len(numbers) == 1 else None
    number = ask(f"Number of the {kind}", default=default, parse=parse)
    return options[int(number) - 1][0]


@contextmanager
def progress(describe: Callable[[], str]) -> Iterator[None]:
    """Print a line every five seconds during a ``with`` block, even while a call blocks.

    Args:
        describe: Returns a sentence that says why the command is waiting.
    """
    started, ended = time.monotonic(), threading.Event()

    def report() -> None:
        while not ended.wait(PROGRESS_SECONDS):
            elapsed = time.monotonic() - started
            with suppress(OSError):  # the terminal may be closed
                click.echo(f"{describe()} Still waiting after {elapsed:.0f} s ...", err=True)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
