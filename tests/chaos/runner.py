"""One run: the stack starts, people work, things go wrong, all is let settle and compared."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from chalicelib.usecases.reconcile import JOB
from infra.commands.token import create_token, read_api_key
from local import dynamodb
from local.demo import http_client
from tests.chaos.client import Client
from tests.chaos.floor import Floor, People
from tests.chaos.plan import Plan
from tests.chaos.settling import Settled, settle
from tests.chaos.stage import Stage, running
from tests.chaos.troubles import Troubles
from tests.chaos.truth import Truth, read_truth

_SPARE_TASKS = 4
_FAULTS_THAT_MISS = 1.1
"""Some strike nothing: no call of their kind comes. So more are planned than asked for."""

_RECONCILE_SECONDS = 2
_TELL_SECONDS = 10


@dataclass(frozen=True)
class Orders:
    """What to run.

    Attributes:
        seed: decides everything that can be decided.
        reservations: at least so many.
        faults: at least so many that strike.
        workers: how many.
        instruction: what the app answers to callbacks: "defer", or "accept" at once.
        limit: seconds after which no more Tasks come, whatever was reached.
    """

    seed: int
    reservations: int
    faults: int
    workers: int
    instruction: str
    limit: float


@dataclass
class Outcome:
    """What came of it."""

    orders: Orders
    truth: Truth
    settled: Settled
    promises: int
    struck: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def differ(self) -> list[str]:
        """Everything that is not as it should be."""
        made, struck = len(self.truth.reservations), self.struck.total()
        short = []
        if made < self.orders.reservations:
            short.append(f"only {made} Reservations were made")
        if struck < self.orders.faults:
            short.append(f"only {struck} faults have struck")
        return short + self.settled.differ


async def run(orders: Orders, tell: Callable[[str], None]) -> Outcome:
    """Run it.

    Args:
        orders: what to run.
        tell: takes a line on how it goes.

    Raises:
        StackError: a program did not come up.
    """
    began = time.monotonic()
    rate = _FAULTS_THAT_MISS * orders.faults / orders.reservations
    floor = Floor(Plan(orders.seed, rate))
    async with (
        running(
            orders.workers, orders.instruction, heard=floor.hear, answered=floor.hear_answer
        ) as stage,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        control = Client(session, f"{stage.described.simulator_url}/simulator")
        people = await _people(stage, session)
        troubles = Troubles(stage)
        floor.open(people, stage.links, troubles)
        async with _beside(_have_minutes_pass(stage)):
            async with _beside(floor.keep_tasks_coming(orders.workers + _SPARE_TASKS)):
                await _until_enough(orders, floor, stage, troubles, tell)
            await floor.go_home()
            await troubles.over()
            for link in stage.links.values():
                link.disarm()
                await link.settled()
            tell("everybody has gone home; the records are let settle")
            truth = await read_truth(people.taskrouter, control)
            settled = await settle(stage, truth, floor.heard)
        return Outcome(
            orders,
            truth,
            settled,
            len(floor.heard.promises),
            _struck(stage, troubles),
            time.monotonic() - began,
        )


def _struck(stage: Stage, troubles: Troubles) -> Counter[str]:
    counts = Counter({str(trouble): times for trouble, times in troubles.struck.items()})
    for link in stage.links.values():
        for fault, times in link.struck.items():
            counts[fault.name] += times
    return counts


async def _until_enough(
    orders: Orders,
    floor: Floor,
    stage: Stage,
    troubles: Troubles,
    tell: Callable[[str], None],
) -> None:
    began = told = time.monotonic()
    while (now := time.monotonic()) - began < orders.limit:
        made = len(floor.heard.reservations)
        struck = _struck(stage, troubles).total()
        if made >= orders.reservations and struck >= orders.faults:
            return
        if now - told >= _TELL_SECONDS:
            told = now
            tell(f"{now - began:4.0f} s: {made} Reservations, {struck} faults")
        await asyncio.sleep(0.1)


async def _people(stage: Stage, session: aiohttp.ClientSession) -> People:
    described = stage.described
    names = await asyncio.to_thread(http_client.names, described.simulator_url)

    def caller(role: str, worker_sid: str | None = None) -> Client:
        token = create_token(
            stage.settings,
            read_api_key(stage.settings),
            role=role,
            worker_sid=worker_sid,
            hours=2,
        )
        return Client(session, described.api_url, headers={"Authorization": f"Bearer {token}"})

    return People(
        supervisor=caller("supervisor"),
        worker={sid: caller("worker", sid) for sid in names["workers"].values()},
        taskrouter=Client(
            session,
            f"{described.simulator_url}/v1/Workspaces/{names['workspace_sid']}",
            auth=(names["account_sid"], names["auth_token"]),
        ),
        idle=names["activities"]["Idle"],
    )


async def _have_minutes_pass(stage: Stage) -> None:
    """Have the sweep reconcile every few seconds, not every 5 minutes."""
    described = stage.described
    client = dynamodb.client("dynamodb", described.dynamodb_url, described.resolved)
    while True:
        await asyncio.sleep(_RECONCILE_SECONDS)
        await asyncio.to_thread(
            client.update_item,
            TableName=stage.settings.state_table,
            Key={"id": {"S": JOB}},
            UpdateExpression="SET #at = :long_ago",
            ExpressionAttributeNames={"#at": "at"},
            ExpressionAttributeValues={":long_ago": {"N": "0"}},
        )


@asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have some go on meanwhile; one that fails is told of at the end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
