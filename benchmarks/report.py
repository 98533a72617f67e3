"""Prints the figures as a table in Markdown."""

import os
import platform
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import click

_PACKAGES = ("awslambdaric", "boto3", "chalice", "jmespath")
_HEAD = ("figure", "this app", "compared with", "other value", "ratio", "goal")


def to_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table. The first row is the header."""
    head, *body = rows
    return "\n".join(map(_to_line, (head, tuple("---" for _ in head), *body)))


def _to_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure for this app, compared with the same figure for another program or with a limit.

    The programs are measured alternately, so that a busy machine slows down both of them. On such a
    machine, only the ratio is meaningful.

    Attributes:
        name: The measured quantity.
        value: The figure for this app.
        other: The program or limit that this app is compared with.
        other_value: The figure for the other program, or the limit.
        unit: Unit of both figures.
        goal: Maximum ratio, if there is a goal.
    """

    name: str
    value: float
    other: str
    other_value: float
    unit: str
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """This app's figure, relative to the other value."""
        return self.value / self.other_value

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the figure's row."""
        goal = ""
        if self.goal is not None:
            goal = f"{self.goal:g}{'' if self.ratio <= self.goal else ', missed'}"
        values = (
            f"{_format_value(value)} {self.unit}".rstrip()
            for value in (self.value, self.other_value)
        )
        value, other_value = values
        return (self.name, value, self.other, other_value, f"{self.ratio:.2f}", goal)


def _format_value(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004  three digits


HEADER = to_table([_HEAD])
"""The first lines of the table of figures."""


def to_row(figure: Figure) -> str:
    """Return the figure's row of the table."""
    return _to_line(figure.cells())


Section = Callable[[], Sequence[Figure | str]]
"""A function that measures something, and returns figures or text to print after the table."""


def print_sections(sections: Sequence[Section]) -> None:
    """Print the header of the table, and the results of each measurement.

    Raises:
        click.ClickException: A measurement failed. All other results were printed.
    """
    click.echo(HEADER)
    failed = sum(not print_section(section) for section in sections)
    if failed:
        raise click.ClickException(f"{failed} of {len(sections)} measurements failed.")


def print_section(section: Section) -> bool:
    """Print the figures or the text of a measurement, or its error.

    Returns:
        Whether the measurement succeeded.
    """
    try:
        results = section()
    except Exception:  # noqa: BLE001  the figures of other measurements are still useful
        click.echo(traceback.format_exc(), err=True)
        return False
    for result in results:
        click.echo(to_row(result) if isinstance(result, Figure) else f"\n{result}")
    return True


def machine() -> str:
    """Return a line that describes the machine."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f}, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {packages}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
