"""A reset or a restored snapshot ends all waiting requests."""

import asyncio
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.server import Simulator
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import running
from tests.simulator.browser_sdk import BrowserSdk
from tests.simulator.conftest import SPANISH

START = 1_767_225_600.0
"""Start time of a frozen clock if the simulator has a seed: 2026-01-01T00:00:00Z."""
REPLACED = "a reset or a restored snapshot replaced the state while the request was waiting"
TIMEOUT_SECONDS = 5


@pytest.fixture
def taskrouter(app):
    """A simulator with a seed, whose callbacks wait until the test sets `app.hold`."""
    app.hold = threading.Event()
    with running(callback_base_url=app.url, seed="5") as simulator:
        yield simulator
        app.hold.set()


@pytest.fixture
def app_is_called(app):
    """A function that returns whether the app has received a request."""
    return lambda: bool(app.received)


def now(taskrouter):
    return taskrouter._request("POST", "/clock", {"advance": 0})["now"]


def offer_task(taskrouter):
    """Reserve Alice; the assignment callback is due after 50 seconds."""
    taskrouter.fault("assignment", "latency", seconds=50)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    idle = taskrouter.activities["Idle"]
    workspace.workers(taskrouter.workers["Alice"]).update(activity_sid=idle)
    workspace.tasks.create(attributes=SPANISH)


def place_call(taskrouter):
    return taskrouter.place_call("+15550001111", "+15556667777")


@contextmanager
def waiting_request(is_waiting, function, *arguments):
    """Send a request in a thread; run the `with` block when the request is waiting.

    Yields:
        A list that, after the `with` block, contains the result or the error of the request.
    """
    outcomes = []

    def send():
        try:
            outcomes.append(function(*arguments))
        except (OSError, http.client.HTTPException) as error:
            outcomes.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not is_waiting() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert is_waiting()
    yield outcomes
    thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()


def assert_replaced(outcomes):
    (error,) = outcomes
    assert (error.code, error.__notes__) == (409, [REPLACED])


def reset(taskrouter, _snapshot):
    taskrouter.reset()


def restore(taskrouter, snapshot):
    taskrouter.restore(snapshot)


@pytest.mark.parametrize("replace", [reset, restore])
def test_state_replacement_ends_a_clock_advance(taskrouter, app_is_called, replace):
    snapshot = taskrouter.snapshot()
    offer_task(taskrouter)
    with waiting_request(app_is_called, taskrouter.advance, 5000) as outcomes:
        replace(taskrouter, snapshot)
    assert_replaced(outcomes)
    assert now(taskrouter) == START
    assert taskrouter.log() == []


@pytest.mark.parametrize("replace", [reset, restore])
def test_state_replacement_ends_a_request_to_place_a_call(taskrouter, app_is_called, replace):
    snapshot = taskrouter.snapshot()
    taskrouter.advance(5000)
    with waiting_request(app_is_called, place_call, taskrouter) as outcomes:
        replace(taskrouter, snapshot)
    assert_replaced(outcomes)
    assert now(taskrouter) == START


def test_new_state_does_not_wait_for_an_earlier_clock_advance(taskrouter, app_is_called):
    offer_task(taskrouter)
    with waiting_request(app_is_called, taskrouter.advance, 5000):
        taskrouter.reset()
        taskrouter.advance(7)
    assert now(taskrouter) == START + 7


def test_concurrent_clock_advances_add_up(app, taskrouter, app_is_called):
    offer_task(taskrouter)
    with waiting_request(app_is_called, taskrouter.advance, 100), ThreadPoolExecutor() as executor:
        executor.submit(taskrouter.advance, 100)
        time.sleep(0.1)
        app.hold.set()
    assert now(taskrouter) == START + 200


def test_reset_ends_a_clock_advance_that_waits_for_another(app):
    app.hold = threading.Event()
    settings = Settings(callback_base_url=app.url, frozen_clock=True, seed="5")

    async def advance_twice():
        simulator = Simulator(settings)
        call_control.place(
            simulator.engine,
            caller="+15550001111",
            called="+15556667777",
            url=app.url,
            keys=[],
            worker_answers=True,
        )
        advances = [asyncio.create_task(simulator.advance(100)) for _ in range(2)]
        while not app.received:  # noqa: ASYNC110 - the app runs in another thread
            await asyncio.sleep(0.005)
        simulator.reset()
        errors = await asyncio.gather(*advances, return_exceptions=True)
        return [(error.status, str(error)) for error in errors], simulator.clock.now()

    outcome = asyncio.run(advance_twice())
    app.hold.set()
    assert outcome == ([(409, REPLACED), (409, REPLACED)], START)


def create_task(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    return workspace.tasks.create(attributes=SPANISH)


def rename_worker(taskrouter):
    return BrowserSdk(taskrouter).update_own(FriendlyName="Zoe")


@pytest.mark.parametrize("send", [create_task, rename_worker])
@pytest.mark.parametrize("replace", [reset, restore])
def test_state_replacement_drops_the_connection_of_a_delayed_request(taskrouter, replace, send):
    snapshot = taskrouter.snapshot()
    taskrouter.fault("request", "latency", method="POST", seconds=0.5)

    def is_delayed():
        return not taskrouter._request("GET", "/faults")["faults"]

    with waiting_request(is_delayed, send, taskrouter) as outcomes:
        replace(taskrouter, snapshot)
        prepared = taskrouter.snapshot()
    (error,) = outcomes
    assert isinstance(error, OSError)
    assert taskrouter.log() == []
    assert taskrouter.snapshot() == prepared
