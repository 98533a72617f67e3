"""Order and concurrency of callbacks."""

import asyncio

import pytest

from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.dispatcher import Dispatcher, ReservationQueue
from taskrouter_simulator.engine.core import Alert, CallStep, FetchTwiml
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.settings import Settings
from tests.simulator.conftest import Simulation


class Client:
    """A delivery client that records deliveries and their maximum concurrency."""

    def __init__(self):
        self.deliveries = []
        self.active = self.maximum = 0

    async def deliver(self, delivery):
        self.deliveries.append(delivery)
        self.active += 1
        self.maximum = max(self.maximum, self.active)
        await asyncio.sleep(0)
        self.active -= 1
        return Response(204)


def dispatch(simulation, effects, **settings):
    """Execute effects; return the client and the log entries."""
    client, entries = Client(), []

    def record(kind, **fields):
        entries.append({"kind": kind, **fields})

    async def run():
        dispatcher = Dispatcher(client, Settings(**settings), record, Faults())
        for effect in effects:
            dispatcher.dispatch(simulation.engine, effect)
        await dispatcher.drain()

    asyncio.run(run())
    return client, entries


@pytest.mark.parametrize(
    ("settings", "maximum"), [({}, 50), ({"event_callbacks_in_order": True}, 1)]
)
def test_up_to_50_events_are_posted_concurrently_unless_ordered(settings, maximum):
    simulation = Simulation()
    simulation.workspace.event_callback_url = "http://a/"
    for _ in range(60):
        simulation.create_task("{}")
    events = [effect for effect in simulation.effects if hasattr(effect, "event")]
    client, _ = dispatch(simulation, events, **settings)
    assert (len(client.deliveries), client.maximum) == (len(events), maximum)
    assert [item.parameters for item in client.deliveries] == [
        effect.event.parameters for effect in events
    ]
    assert {item.seconds for item in client.deliveries} == {15.0}


def test_up_to_50_twiml_requests_are_sent_concurrently():
    simulation = Simulation()
    effects = [FetchTwiml(f"CA{number}", 1, "http://a/", {}) for number in range(60)]
    client, _ = dispatch(simulation, effects)
    assert (len(client.deliveries), client.maximum) == (60, 50)
    assert {item.seconds for item in client.deliveries} == {15.0}


def test_alert_and_call_step_are_logged_with_details():
    alert = Alert(1, "x", "warning", {"url": "http://a/"})
    step = CallStep("CA1", "placed", {"caller": "+1"})
    _, entries = dispatch(Simulation(), [alert, step])
    assert entries == [
        {"kind": "alert", "code": 1, "level": "warning", "message": "x", "url": "http://a/"},
        {"kind": "call", "call_sid": "CA1", "step": "placed", "caller": "+1"},
    ]


@pytest.mark.parametrize("ordered", [False, True])
def test_only_ordered_queue_holds_callbacks_until_first_callback_of_reservation_is_done(ordered):
    queue, started = ReservationQueue(ordered=ordered), []
    for sid, name in (("WR1", "a"), ("WR1", "b"), ("WR2", "c"), ("WR1", "d")):
        queue.enqueue(sid, lambda name=name: started.append(name))
    assert started == (["a", "c"] if ordered else ["a", "b", "c", "d"])
    queue.mark_done("WR1")
    assert started == (["a", "c", "b", "d"] if ordered else ["a", "b", "c", "d"])
    queue.mark_done("WR9")
    queue.enqueue("WR2", lambda: started.append("e"))
    queue.clear()
    queue.mark_done("WR2")
    assert ("e" in started) is not ordered
