"""Compares this app's callbacks with minimal Lambda handlers that write an item.

pyperf is not used, because it runs one process after another and measures a function's elapsed
time. This module measures processes that run at the same time and receive events in turn. It also
measures the processes' CPU time, which depends less on the other programs that use the machine.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import inputs, programs, stubs
from benchmarks.programs import Program
from benchmarks.report import Figure
from benchmarks.stubs import Duration

WARM_GOAL = 0.9
COLD_GOAL = 0.8
"""Maximum times of this app's warm callbacks and cold starts, relative to the bare handler's."""

WARM_UP = 20
"""Number of initial invocations that are not measured."""


class Start(NamedTuple):
    """A cold start, from the start of the process to its first response. Times are in seconds."""

    wall: float
    cpu: float
    memory_mb: float


def measure(runtime: Path, app: Program, folder: Path, rounds: int, starts: int) -> list[Figure]:
    """Measure warm callbacks and cold starts of this app and of the other programs.

    Args:
        runtime: the folder with the packages that Lambda's runtime provides.
        app: the packaged app (`programs.build_app`).
        folder: a folder for the other programs.
        rounds: number of warm invocations per program.
        starts: number of cold starts per program.
    """
    compared = [app, *programs.build_handlers(folder)]
    bare = next(program for program in compared if program.is_baseline)
    again = replace(bare, name=f"{bare.name}, again", is_baseline=False)
    with stubs.dynamodb(inputs.SECRETS) as url:
        environ = {"AWS_ENDPOINT_URL": url}
        warm = time_invocations([*compared, again], runtime, environ, rounds)
        cold = time_starts(compared, runtime, environ, starts)
    _, *others = compared
    return [
        *_warm_figures(warm, app, others),
        *_warm_figures(warm, bare, [again], prefix="noise: warm callback, bare boto3 handler"),
        *_cold_figures(cold, app, others),
    ]


def time_invocations(
    compared: Sequence[Program],
    runtime: Path,
    environ: Mapping[str, str],
    rounds: int,
    *,
    event: bytes | None = None,
) -> dict[Program, list[Duration]]:
    """Run all programs, and invoke them in turn with *event* (default: a callback)."""
    event = event or inputs.callback_event()
    durations: dict[Program, list[Duration]] = {program: [] for program in compared}
    with ExitStack() as stack:
        functions = {
            program: stack.enter_context(stubs.function(program, runtime, environ))
            for program in compared
        }
        for function in functions.values():
            function.await_request()
        for number in range(WARM_UP + rounds):
            for program, function in functions.items():
                duration = function.invoke(event)
                if number >= WARM_UP:
                    durations[program].append(duration)
    return durations


def time_starts(
    compared: Sequence[Program], runtime: Path, environ: Mapping[str, str], starts: int
) -> dict[Program, list[Start]]:
    """Start the programs in turn, and invoke each process once."""
    event = inputs.callback_event()
    measured: dict[Program, list[Start]] = {program: [] for program in compared}
    for number in range(1 + starts):
        for program in compared:
            started = time.perf_counter()
            with stubs.function(program, runtime, environ) as function:
                function.await_request()
                function.invoke(event)
                wall = function.responded_at - started
                start = Start(wall, function.cpu_seconds(), function.memory_mb())
            if number:  # Skip the first start, which fills the operating system's file cache.
                measured[program].append(start)
    return measured


def _warm_figures(
    durations: Mapping[Program, Sequence[Duration]],
    app: Program,
    others: Sequence[Program],
    *,
    prefix: str = "warm callback",
) -> Iterable[Figure]:
    for name, attribute in (("time", "wall"), ("CPU time", "cpu")):
        values = {
            program: median(getattr(duration, attribute) for duration in measured) * 1000
            for program, measured in durations.items()
        }
        for other in others:
            yield Figure(
                name=f"{prefix}: {name} (median)",
                value=values[app],
                other=other.name,
                other_value=values[other],
                unit="ms",
                goal=WARM_GOAL if other.is_baseline else None,
            )


def _cold_figures(
    starts: Mapping[Program, Sequence[Start]], app: Program, others: Sequence[Program]
) -> Iterable[Figure]:
    for name, attribute, unit, factor in (
        ("time (median)", "wall", "ms", 1000),
        ("CPU time (median)", "cpu", "ms", 1000),
        ("memory", "memory_mb", "MB", 1),
    ):
        values = {
            program: median(getattr(start, attribute) for start in measured) * factor
            for program, measured in starts.items()
        }
        for other in others:
            yield Figure(
                name=f"cold start to the first response: {name}",
                value=values[app],
                other=other.name,
                other_value=values[other],
                unit=unit,
                goal=COLD_GOAL if other.is_baseline and unit == "ms" else None,
            )
