"""Each effect that a fault can have, seen from the caller and from the program behind."""

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.link import Proxy
from tests.chaos.plan import Fault, Link

SID = "WR" + "1" * 32
EVENT = {"ReservationSid": SID, "EventType": "reservation.created"}


@asynccontextmanager
async def behind():
    """A program that answers "yes", a proxy before it, and somebody who asks."""
    arrived = []

    async def answer(request):
        arrived.append((request.method, request.path_qs, await request.text()))
        return web.Response(text="yes", headers={"X-Own": "1"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    proxy = Proxy()
    proxy.upstream = f"http://{host}:{port}"
    async with proxy.listening(), aiohttp.ClientSession() as session:

        async def ask(path="/", data=None):
            try:
                async with session.post(proxy.url + path, data=data) as response:
                    return response.status, await response.text()
            except aiohttp.ClientError:
                return None

        yield proxy, ask, arrived
    await runner.cleanup()


def struck_by(fault, *, path=f"/Reservations/{SID}", data=None, asked=1):
    """What callers are answered, and how often the program behind was asked."""

    async def story():
        async with behind() as (proxy, ask, arrived):
            proxy.arm(fault, SID)
            answers = [await ask(path, data) for _ in range(asked)]
            await proxy.settled()
            return answers, len(arrived), proxy.struck[fault]

    return asyncio.run(story())


def test_what_no_fault_fits_passes_unchanged():
    async def story():
        async with behind() as (proxy, ask, arrived):
            proxy.arm(Fault(Link.REST, "cut"), "WR" + "2" * 32)
            assert await ask("/a?b=c%20d", {"e": "f g"}) == (200, "yes")
            assert arrived == [("POST", "/a?b=c%20d", "e=f+g")]
            assert not proxy.struck

    asyncio.run(story())


@pytest.mark.parametrize(
    ("fault", "answer", "arrivals"),
    [
        (Fault(Link.REST, "cut"), None, 0),
        (Fault(Link.REST, "cut", after=True), None, 1),
        (Fault(Link.REST, "answer", answer=(429, "no")), (429, "no"), 0),
        (Fault(Link.REST, "answer", after=True, answer=(500, "no")), (500, "no"), 1),
        (Fault(Link.REST, "twice"), (200, "yes"), 2),
        (Fault(Link.REST, "late", seconds=0.05), None, 1),
        (Fault(Link.REST, "slow", seconds=0.05), (200, "yes"), 1),
        (Fault(Link.REST, "slow", seconds=0.05, after=True), (200, "yes"), 1),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_a_fault_does_what_it_says_once(fault, answer, arrivals):
    assert struck_by(fault, asked=2) == ([answer, (200, "yes")], arrivals + 1, 1)


def test_what_is_slow_takes_its_time():
    began = time.monotonic()
    struck_by(Fault(Link.REST, "slow", seconds=0.2))
    assert time.monotonic() - began >= 0.2


def test_what_is_lost_stays_lost_and_counts_once():
    fault = Fault(Link.CALLBACKS, "lost", only=("fallback", "event reservation.created"))
    lost = struck_by(fault, path="/event_callback", data=EVENT, asked=3)
    assert lost == ([None] * 3, 0, 1)


def test_a_callback_is_struck_only_by_a_fault_of_its_kind():
    fault = Fault(Link.CALLBACKS, "cut", only=("assignment",))
    passed = struck_by(fault, path="/event_callback", data=EVENT)
    assert passed == ([(200, "yes")], 1, 0)


def test_a_link_that_is_away_lets_nothing_through():
    async def story():
        async with behind() as (proxy, ask, arrived):
            proxy.away = True
            assert await ask() is None
            proxy.away = False
            assert await ask() == (200, "yes")
            assert len(arrived) == 1

    asyncio.run(story())
