"""Prints the rates of Reservations at which the limits of AWS, Twilio and this app are reached.

`python -m benchmarks.capacity` prints the tables in docs/capacity.md. `benchmarks.footprint` counts
the requests and write units for one Reservation. This module simulates sweeps at different rates
(`benchmarks.simulated_sweep`) to find the limits of the sweep. The tables depend only on the inputs
and the code.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import pairwise
from math import inf

import click

from benchmarks import footprint
from benchmarks.footprint import ACCEPT_PATH, Footprint
from benchmarks.inputs import ENVIRON, EVENT_PATH, PATH
from benchmarks.report import to_table
from benchmarks.simulated_sweep import Sweep, simulate
from benchmarks.simulated_taskrouter import UNLIMITED, TaskRouterLimits
from benchmarks.simulation import Scenario, World
from chalicelib import config
from chalicelib.usecases.reconcile import INTERVAL_MS
from infra.aws import api_settings
from infra.aws.config_file import APP_NAME
from infra.aws.stage_config import Stage

RATES = (1, 100, 1_000, 10_000)
"""Reservations per second."""

_SIMULATED_RATES = [round(40 * 1.25**step) for step in range(18)]
"""Rates at which the sweep is simulated to find its limits, from 40 to about 1,800 per second."""

_WAYS = ("accepted over REST", "accepted by the callback response")
"""The two ways of accepting a Reservation, which the tables compare."""

_REQUESTS_PER_CONCURRENCY = 10
"""Requests per second that Lambda accepts for each unit of concurrency."""

_MANY_KEYS = (footprint.TABLE, "by_worker")
"""The table and the index whose writes are spread over many partition keys."""

_REQUESTS = "requests per second"
_WRITE_UNITS = "write units per second"

_SWEEP = "sweep"
"""Prefix of the names of simulated limits."""

_MAX_AGE_MS = 2 * INTERVAL_MS
"""Maximum `Sweep.tasks_age_ms` and `Sweep.events_age_ms`. A part of the reconciliation that
exceeds this age is falling behind."""


def _input(default: int, text: str) -> int:
    value: int = field(default=default, metadata={"help": text})
    return value


@dataclass(frozen=True)
class Inputs:
    """Quotas, durations and a seed.

    The default quotas of AWS services are AWS's own defaults. The other defaults are assumptions.
    """

    api_gateway: int = _input(10_000, "API Gateway requests per second, per account.")
    lambda_concurrency: int = _input(1_000, "Concurrent Lambda executions, per account.")
    key_units: int = _input(1_000, "Write units per second, per partition key.")
    new_table_units: int = _input(4_000, "Write units per second, per new on-demand table.")
    table_units: int = _input(40_000, "Write units per second, per table.")
    put_log_events: int = _input(5_000, "PutLogEvents requests per second, per account.")
    get_parameter: int = _input(40, "GetParameter requests per second, per account.")
    own_ms: int = _input(4, "The service's own time per request, in ms.")
    dynamodb_ms: int = _input(5, "Duration of a request to DynamoDB, in ms.")
    taskrouter_per_second: int = _input(50, "TaskRouter requests per second, per operation.")
    taskrouter_concurrent: int = _input(100, "Concurrent TaskRouter requests.")
    taskrouter_ms: int = _input(100, "Duration of a request to TaskRouter, in ms.")
    seed: int = _input(1, "Seed of the simulation.")

    def scenario(
        self, rate: float, *, is_limited: bool = False, over_rest: bool = True
    ) -> Scenario:
        """Return a scenario, with TaskRouter's limits if *is_limited*."""
        limits = TaskRouterLimits(
            per_second=self.taskrouter_per_second, concurrent=self.taskrouter_concurrent
        )
        return Scenario(
            rate=rate,
            taskrouter=replace(limits if is_limited else UNLIMITED, latency_ms=self.taskrouter_ms),
            dynamodb_ms=self.dynamodb_ms,
            answer_s=Scenario.answer_s if over_rest else None,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Limit:
    """A limit, and the number of its units that one Reservation needs.

    Attributes:
        quota: The value of the limit.
        unit: The unit of the quota.
        needed: The number of requests or write units that one Reservation needs. For a concurrency
            limit and for SSM, the sum of the requests' durations in seconds.
    """

    quota: float
    unit: str
    needed: float

    @property
    def rate(self) -> float:
        """Rate of Reservations at which the limit is reached."""
        return self.quota / self.needed if self.needed else inf


def find_limits(needed: Footprint, inputs: Inputs, *, over_rest: bool) -> dict[str, Limit]:
    """Return all limits by name."""
    requests, table_units = needed.requests.total(), needed.units[footprint.TABLE]
    waits_ms = needed.writes.total() * inputs.dynamodb_ms + needed.taskrouter * inputs.taskrouter_ms
    busy_s = (requests * inputs.own_ms + waits_ms) / 1000
    taskrouter_s = needed.taskrouter * inputs.taskrouter_ms / 1000
    concurrency = inputs.lambda_concurrency
    limits = {
        f"throttle of {path}": Limit(rate, _REQUESTS, needed.requests[path])
        for path, rate in _throttles(concurrency).items()
    }
    limits |= {
        "API Gateway": Limit(inputs.api_gateway, _REQUESTS, requests),
        "Lambda, requests": Limit(concurrency * _REQUESTS_PER_CONCURRENCY, _REQUESTS, requests),
        "Lambda, concurrency": Limit(concurrency, "concurrent executions", busy_s),
        # Each execution environment reads the secrets when it starts.
        "SSM, sudden start": Limit(inputs.get_parameter, _REQUESTS, busy_s),
        "CloudWatch Logs": Limit(inputs.put_log_events, _REQUESTS, requests),
        "DynamoDB, new table": Limit(inputs.new_table_units, _WRITE_UNITS, table_units),
        "DynamoDB, table": Limit(inputs.table_units, _WRITE_UNITS, table_units),
        "TaskRouter, requests": Limit(inputs.taskrouter_per_second, _REQUESTS, needed.taskrouter),
        "TaskRouter, concurrency": Limit(
            inputs.taskrouter_concurrent, "concurrent requests", taskrouter_s
        ),
    }
    for key, units in needed.units.items():
        if key not in _MANY_KEYS:
            limits[f"DynamoDB, {_display_name(key)}"] = Limit(inputs.key_units, _WRITE_UNITS, units)
    for name, rate in _sweep_rates(inputs, over_rest=over_rest).items():
        limits[f"{_SWEEP}, {name}"] = Limit(rate, "Reservations per second", 1)
    return limits


def _throttles(concurrency: int) -> dict[str, float]:
    """Return the throttles that a deployment sets, in requests per second, by path."""
    stage = Stage("prod", APP_NAME, config.load({**ENVIRON}))
    return {
        path: api_settings.find_throttle(stage, concurrency, path).rate
        for path in (PATH, EVENT_PATH, ACCEPT_PATH)
    }


def _sweep_rates(inputs: Inputs, *, over_rest: bool) -> dict[str, float]:
    """Return the rates at which a sweep falls behind if TaskRouter throttles no requests."""

    @cache
    def last_sweep(rate: float) -> Sweep:
        _, sweeps = simulate(inputs.scenario(rate, over_rest=over_rest))
        return sweeps[-1]

    def find(keeps_up: Callable[[Sweep], bool]) -> float:
        rates = _SIMULATED_RATES
        first = bisect_left(rates, 1, key=lambda rate: not keeps_up(last_sweep(rate)))
        return rates[first] if first < len(rates) else inf

    return {
        "reserved Tasks": find(lambda sweep: sweep.tasks_age_ms <= _MAX_AGE_MS),
        "Events": find(lambda sweep: sweep.events_age_ms <= _MAX_AGE_MS),
        "due Reservations": find(lambda sweep: sweep.unchecked == 0),
    }


def _render_needs(needed: Sequence[Footprint]) -> str:
    """Return a table of the requests, units and bytes that one Reservation needs."""
    rows: list[tuple[str, ...]] = [("one Reservation", *_WAYS)]
    counts = [_counts(each) for each in needed]
    rows += [(name, *(_format_number(each[name]) for each in counts)) for name in counts[0]]
    return to_table(rows)


def _counts(needed: Footprint) -> dict[str, int]:
    return {
        **{f"requests to {route}": number for route, number in needed.requests.items()},
        "DynamoDB writes": needed.writes.total(),
        **{f"write units, {_display_name(key)}": units for key, units in needed.units.items()},
        "requests to TaskRouter": needed.taskrouter,
        "size of the record, in bytes": needed.record_bytes,
        "log lines, in bytes": needed.log_bytes,
    }


def _display_name(key: str) -> str:
    """Return the name of the table or index that consumes write units."""
    return key if key == footprint.TABLE else f"index {key}"


def _render_limits_by_rate(limits: Sequence[Mapping[str, Limit]]) -> str:
    """Return a table of the limits between successive rates, lowest limit first."""
    rows: list[tuple[str, ...]] = [("Reservations per second", *_WAYS)]
    for previous, rate in pairwise((0, *RATES)):
        cells = []
        for by_name in limits:
            reached = sorted(
                (limit.rate, name)
                for name, limit in by_name.items()
                if previous < limit.rate <= rate
            )
            cells.append("; ".join(f"{name} ({at:,.0f})" for at, name in reached) or "none")
        rows.append((f"up to {rate:,}", *cells))
    return to_table(rows)


def _render_limits(limits: Sequence[Mapping[str, Limit]]) -> str:
    """Return a table of the quotas, the units that one Reservation needs, and the rates."""
    head = (cell for way in _WAYS for cell in (f"needed, {way}", "reached at"))
    rows = [("limit", "quota", *head)]
    for name in sorted(limits[0], key=lambda name: limits[0][name].rate):
        both = [by_name[name] for by_name in limits]
        is_counted = not name.startswith(_SWEEP)
        quota = f"{_format_number(both[0].quota)} {both[0].unit}" if is_counted else "simulated"
        cells = (
            cell
            for limit in both
            for cell in (
                f"{limit.needed:.2g}" if is_counted else "",
                "never" if limit.rate == inf else _format_number(limit.rate),
            )
        )
        rows.append((name, quota, *cells))
    return to_table(rows)


def _format_number(number: float) -> str:
    return f"{number:,.0f}"


def _render_simulation(inputs: Inputs) -> str:
    """Return a table of the simulation results."""
    rows: list[tuple[str, ...]] = [_SIMULATION_HEAD]
    for label, scenario in (
        ("", lambda rate: inputs.scenario(rate, is_limited=True)),
        (", TaskRouter without limits", inputs.scenario),
        (", no event callbacks", lambda rate: replace(inputs.scenario(rate), lost_events=1.0)),
    ):
        rows += [(f"{rate:,}{label}", *_outcome(*simulate(scenario(rate)))) for rate in RATES]
    return to_table(rows)


_SIMULATION_HEAD = (
    "Reservations per second",
    "requests to TaskRouter per second",
    "throttled",
    "not accepted",
    "due",
    "left due",
    "oldest due",
    "duration",
    "Tasks",
    "Events",
)


def _outcome(world: World, sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    requests, throttled = world.taskrouter.requests, world.taskrouter.throttled
    sweep = sweeps[-1]
    return (
        _format_number(requests.total() / world.scenario.seconds),
        f"{throttled.total() / requests.total():.0%}",
        f"{world.given_up / world.arrived:.0%}",
        _format_number(sweep.due),
        _format_number(sweep.unchecked),
        f"{sweep.oldest_due_ms / 1000:.0f} s",
        f"{(sweep.ended_at - sweep.at) / 1000:.0f} s",
        _describe_age(sweep.tasks_age_ms),
        _describe_age(sweep.events_age_ms),
    )


def _describe_age(age_ms: int) -> str:
    return "late" if age_ms > _MAX_AGE_MS else "on time"


def render(inputs: Inputs) -> list[str]:
    """Return the tables in docs/capacity.md."""
    ways = (True, False)
    needed = [footprint.measure(over_rest=over_rest) for over_rest in ways]
    limits = [
        find_limits(each, inputs, over_rest=over_rest)
        for each, over_rest in zip(needed, ways, strict=True)
    ]
    return [
        _render_limits_by_rate(limits),
        _render_needs(needed),
        _render_limits(limits),
        _render_simulation(inputs),
    ]


@click.command()
def main(**values: int) -> None:
    """Print the rates of Reservations at which the limits are reached."""
    click.echo("\n\n".join(render(Inputs(**values))))


for _field in fields(Inputs):
    main.params.append(
        click.Option(
            [f"--{_field.name.replace('_', '-')}"],
            type=int,
            default=_field.default,
            show_default=True,
            help=_field.metadata["help"],
        )
    )

if __name__ == "__main__":
    main()
