"""Checks whether the cost of the console's pages depends on the number of records.

`python -m benchmarks.pages` sends each page's requests to the app, which uses the local DynamoDB.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import click
from chalice.test import Client

from app import app as chalice_app
from benchmarks import inputs
from benchmarks.metering import Usage
from benchmarks.report import to_table
from benchmarks.tables import NEWEST_SID, BenchmarkTables, FixedClock
from chalicelib import observability, runtime

SIZES = (1_000, 100_000)
"""Table sizes to compare, in records. The newest 1,000 records are the same in both cases."""

PAGES = {
    "Supervisor's inbox": inputs.OVERVIEW_PATH,
    "History": "/reservations",
    "Inspect": f"/reservations/{NEWEST_SID}",
    "Overview": "/statistics",
}
"""The path that each page requests."""


def measure(tables: BenchmarkTables) -> dict[str, Usage]:
    """Request the data of each page, and return the usage by page."""
    tables.measure_statistics()  # The sweeps write the statistics.
    headers, usages = {"Authorization": f"Bearer {inputs.supervisor_token()}"}, {}
    with _serving(tables) as (http, metered):
        for page, path in PAGES.items():
            metered.reset()
            response = http.get(path, headers=headers)
            if response.status_code != HTTPStatus.OK:
                raise RuntimeError(f"{page}: the app returned {response.body!r}")
            usages[page] = metered.reset()
    return usages


@contextmanager
def _serving(tables: BenchmarkTables) -> Iterator[tuple[Any, Any]]:
    """Run the app in this process; yield its HTTP client and its DynamoDB client."""
    service = replace(tables.make_runtime(), clock=FixedClock())
    observability.configure("ERROR")
    runtime.use(service)
    try:
        with Client(chalice_app) as client:
            yield client.http, service.dynamodb
    finally:
        runtime.use(None)


def measure_sizes(sizes: Sequence[int] = SIZES) -> dict[int, dict[str, Usage]]:
    """Measure the pages with a growing table; return each page's usage by number of records."""
    measured = dict[int, dict[str, Usage]]()
    with BenchmarkTables.create() as tables:
        for size in sizes:
            tables.fill(size)
            measured[size] = measure(tables)
    return measured


def render(measured: Mapping[int, Mapping[str, Usage]]) -> str:
    """Return a Markdown table of the usage by page."""
    rows = [["page", "request"]]
    for size in measured:
        rows[0] += [f"requests with {size:,} records", f"read units with {size:,} records"]
    for page, path in PAGES.items():
        row = [page, f"`GET {path.replace(NEWEST_SID, '{sid}')}`"]
        for usages in measured.values():
            row += [_describe(usages[page]), f"{usages[page].read_units:g}"]
        rows.append(row)
    return to_table(rows)


def _describe(usage: Usage) -> str:
    names = {"get_item": "GetItem", "batch_get_item": "BatchGetItem", "query": "Query"}
    return ", ".join(f"{number} {names[name]}" for name, number in sorted(usage.requests.items()))


@click.command()
def main() -> None:
    """Measure the requests that the console's pages send, with a small and a large table."""
    click.echo(render(measure_sizes()))


if __name__ == "__main__":
    main()
