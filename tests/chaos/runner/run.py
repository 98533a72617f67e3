"""Runs the stack under faults, waits for consistency, and compares the records."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from chalicelib.runtime import SystemClock
from infra.commands.token import create_token, read_api_key
from local import dynamodb
from local.demo import http_client
from tests.chaos.runner.comparison import Comparison, wait_until_consistent
from tests.chaos.runner.contact_center import Clients, ContactCenter
from tests.chaos.runner.ground_truth import GroundTruth, read_ground_truth
from tests.chaos.runner.http_client import HttpClient
from tests.chaos.runner.plan import Connection, Plan
from tests.chaos.runner.stack import ChaosStack, ProcessFaultInjector, run_stack
from tests.support import backdate_reconciliation

_SPARE_TASKS = 4
_PLANNED_FAULTS = 1.1
"""Planned faults per required fault; some planned faults never match a request."""

_RECONCILE_SECONDS = 2
_PROGRESS_SECONDS = 10


@dataclass(frozen=True)
class RunOptions:
    """The options of a run.

    Attributes:
        seed: Seed of all random choices.
        reservations: Minimum number of Reservations.
        faults: Minimum number of faults that take effect.
        workers: Number of Workers.
        instruction: The app's answer to callbacks that match no rule: "defer" or "accept".
        limit: Seconds after which no more Tasks are created.
    """

    seed: int
    reservations: int
    faults: int
    workers: int
    instruction: str
    limit: float


@dataclass(frozen=True)
class RunResult:
    """The result of a run."""

    options: RunOptions
    truth: GroundTruth
    comparison: Comparison
    confirmed_decisions: int
    fault_counts: Counter[str]
    seconds: float

    @property
    def instructions(self) -> int:
        """Number of instructions that were sent over REST and executed by TaskRouter."""
        return sum(self.truth.instructions.values())

    @property
    def differences(self) -> list[str]:
        """Descriptions of all shortfalls and differences."""
        reservations, faults = len(self.truth.reservations), self.fault_counts.total()
        shortfalls = []
        if reservations < self.options.reservations:
            shortfalls.append(f"only {reservations} Reservations were created")
        if faults < self.options.faults:
            shortfalls.append(f"only {faults} faults took effect")
        return shortfalls + self.comparison.differences


async def run(options: RunOptions, report: Callable[[str], None]) -> RunResult:
    """Run the stack under faults and compare the records with TaskRouter.

    Args:
        options: The options of the run.
        report: Called with each progress message.

    Raises:
        StackError: A program did not start.
    """
    started = time.monotonic()
    rate = _PLANNED_FAULTS * options.faults / options.reservations
    plan = Plan(options.seed, rate)
    center = ContactCenter(plan)
    async with (
        run_stack(
            options.workers,
            options.instruction,
            on_callback=center.on_callback,
            on_callback_response=center.on_callback_response,
        ) as chaos_stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        control = HttpClient(session, f"{chaos_stack.definition.simulator_url}/simulator")
        clients = await _make_clients(chaos_stack, session)
        process_faults = ProcessFaultInjector(chaos_stack)
        center.open(clients, chaos_stack.proxies, process_faults)
        async with _in_background(_reconcile_frequently(chaos_stack, plan)):
            async with _in_background(center.keep_tasks_waiting(options.workers + _SPARE_TASKS)):
                await _wait_until_targets_are_met(
                    options, center, chaos_stack, process_faults, report
                )
            await center.close()
            await process_faults.wait_until_over()
            for proxy in chaos_stack.proxies.values():
                proxy.clear_faults()
                await proxy.wait_for_late_requests()
            report("All activity has ended. Waiting until the records are consistent.")
            truth = await read_ground_truth(clients.taskrouter, control)
            comparison = await wait_until_consistent(chaos_stack, truth, center.observations)
        return RunResult(
            options,
            truth,
            comparison,
            len(center.observations.confirmed_decisions),
            _fault_counts(chaos_stack, process_faults),
            time.monotonic() - started,
        )


def _fault_counts(chaos_stack: ChaosStack, process_faults: ProcessFaultInjector) -> Counter[str]:
    counts = Counter({str(fault): count for fault, count in process_faults.fault_counts.items()})
    for proxy in chaos_stack.proxies.values():
        for fault, count in proxy.fault_counts.items():
            counts[fault.name] += count
    return counts


async def _wait_until_targets_are_met(
    options: RunOptions,
    center: ContactCenter,
    chaos_stack: ChaosStack,
    process_faults: ProcessFaultInjector,
    report: Callable[[str], None],
) -> None:
    started = reported = time.monotonic()
    while (now := time.monotonic()) - started < options.limit:
        reservations = len(center.observations.reservations)
        faults = _fault_counts(chaos_stack, process_faults).total()
        if reservations >= options.reservations and faults >= options.faults:
            return
        if now - reported >= _PROGRESS_SECONDS:
            reported = now
            report(f"{now - started:4.0f} s: {reservations} Reservations, {faults} faults")
        await asyncio.sleep(0.1)


async def _make_clients(chaos_stack: ChaosStack, session: aiohttp.ClientSession) -> Clients:
    definition, settings = chaos_stack.definition, chaos_stack.settings
    identifiers = await asyncio.to_thread(http_client.fetch_identifiers, definition.simulator_url)

    def app_client(role: str, worker_sid: str | None = None) -> HttpClient:
        token = create_token(
            settings, read_api_key(settings), role=role, worker_sid=worker_sid, hours=2
        )
        return HttpClient(session, definition.api_url, headers={"Authorization": f"Bearer {token}"})

    return Clients(
        supervisor=app_client("supervisor"),
        workers={sid: app_client("worker", sid) for sid in identifiers["workers"].values()},
        taskrouter=HttpClient(
            session,
            f"{definition.simulator_url}/v1/Workspaces/{identifiers['workspace_sid']}",
            auth=(identifiers["account_sid"], identifiers["auth_token"]),
        ),
        idle_activity_sid=identifiers["activities"]["Idle"],
    )


async def _reconcile_frequently(chaos_stack: ChaosStack, plan: Plan) -> None:
    """Make reconciliation due every few seconds instead of every 5 minutes, and inject faults."""
    definition = chaos_stack.definition
    client = dynamodb.client(definition.dynamodb_url)
    for number in itertools.count(1):
        await asyncio.sleep(_RECONCILE_SECONDS)
        for fault in plan.list_faults(number):
            chaos_stack.proxies[Connection.REST].inject(fault, "/v1/Workspaces/")
        table, now = chaos_stack.settings.state_table, SystemClock().now_ms()
        await asyncio.to_thread(backdate_reconciliation, client, table, now)


@asynccontextmanager
async def _in_background(job: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a job during an `async with` block; raise its error at the end of the block."""
    task = asyncio.create_task(job)
    try:
        yield
    finally:
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result, Exception):
        raise result
