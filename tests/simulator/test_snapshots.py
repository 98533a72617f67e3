"""A restored simulator behaves like the original simulator."""

import asyncio
import dataclasses
import json
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrouter_simulator import snapshots
from taskrouter_simulator.continuations import FUNCTIONS
from taskrouter_simulator.engine import assignments, instructions, reservations, tasks, workers
from taskrouter_simulator.engine.calls import call_control, conferences
from taskrouter_simulator.engine.core import NOT_STORED, Engine, EventCallback
from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.engine.instruction_parameters import InstructionError
from taskrouter_simulator.server import Simulator
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.web import SnapshotError
from tests.simulator.call_simulation import DEQUEUE, NUMBER, WORKER_NUMBER, CallSimulation
from tests.simulator.conftest import SPANISH

SETTINGS = {
    "frozen_clock": True,
    "seed": "1",
    "event_path": "/events",
    "callback_base_url": "http://app.example/api",
}
DOCUMENTS = {
    "incoming_call": (
        '<Gather numDigits="1" timeout="7" action="enqueue_call"><Say>Hello</Say></Gather>'
        '<Pause length="3"/><Gather actionOnEmptyResult="true" action="enqueue_call"/>'
    ),
    "agent": '<Say>One moment</Say><Pause length="2"/><Hangup/>',
}
INSTRUCTIONS = (
    {},
    DEQUEUE,
    {
        **DEQUEUE,
        "instruction": "conference",
        "timeout": 9,
        "conference_status_callback": "http://app.example/api/conference",
        "conference_status_callback_event": "start,end,join,leave,mute,hold",
        "status_callback": "http://app.example/api/leg",
    },
    {"instruction": "accept"},
    {"instruction": "reject"},
    *(
        {"instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "accept": accept,
         "url": "http://app.example/api/agent"}
        for accept in (True, False)
    ),
)  # fmt: skip


class Center(CallSimulation):
    """A complete simulator whose effects are recorded instead of executed."""

    def __init__(self, **options):
        self.options = {**SETTINGS, **options}
        self.effects = []
        self.documents = {"enqueue_call": "", "left_queue": "", **DOCUMENTS}
        self.documents["enqueue_call"] = (
            '<Enqueue workflowSid="WW" action="left_queue"><Task priority="1">'
            '{"selected_language": "es"}</Task></Enqueue>'
        )
        self.instruction = {}
        self._processed = 0
        self.simulator = None
        self._use(Simulator(Settings(**self.options)))
        self.documents["enqueue_call"] = self.documents["enqueue_call"].replace(
            '"WW"', f'"{self.simulator.workflow_sid}"'
        )

    def _use(self, simulator):
        self.simulator = simulator
        simulator.engine.emit = self.effects.append
        self.engine, self.clock = simulator.engine, simulator.clock
        self.workspace = self.engine.workspaces[simulator.workspace_sid]
        self.alice, self.bob = self.worker("Alice"), self.worker("Bob")

    def restore(self):
        """Continue in a new simulator, as another process would."""
        snapshot = json.loads(json.dumps(self.simulator.snapshot()))
        simulator = Simulator(Settings(**self.options))

        async def restore():
            simulator.restore(snapshot)

        asyncio.run(restore())
        self._use(simulator)

    def state(self):
        return {**self.simulator.snapshot(), "checksum": ""}

    def do(self, step):
        """Execute a step. If the step fails, record the error message as an effect."""
        name, first, second = step
        try:
            getattr(self, f"do_{name}")(first, second)
        except (InstructionError, ApiError) as error:
            self.effects.append(str(error))
        self.run()

    def do_task(self, first, second):
        attributes = SPANISH if first % 2 else '{"selected_language": "en"}'
        self.create_task(attributes, priority=second, timeout=60 + 100 * first)

    def do_activity(self, first, second):
        worker = self.alice if first % 2 else self.bob
        self.set_activity(worker, ("Idle", "Offline", "Idle", "Busy")[second % 4])

    def do_reservation(self, first, second):
        chosen = list(self.workspace.reservations.values())[-1 - first :]
        for reservation in chosen[:1]:
            operation = (assignments.accept, reservations.reject)[second % 2]
            operation(self.engine, self.workspace, reservation)

    def do_end(self, first, second):
        for task in list(self.workspace.tasks.values())[-1 - first :][:1]:
            operation = (assignments.wrap, assignments.complete, assignments.delete)[second % 3]
            operation(self.engine, self.workspace, task)

    def do_instruction(self, first, _second):
        self.instruction = INSTRUCTIONS[first % len(INSTRUCTIONS)]

    def do_call(self, first, second):
        keys = ["1"] if first % 4 else []
        self.place_call(*keys, worker_answers=bool(second % 3))

    def do_hang_up(self, first, _second):
        for call in list(self.engine.calls.values())[-1 - first :][:1]:
            self.hang_up(call)

    def do_answer(self, first, _second):
        for call in list(self.engine.calls.values())[-1 - first :][:1]:
            call_control.answer(call)

    def do_participant(self, first, second):
        for call in list(self.engine.calls.values())[-1 - first :][:1]:
            conference = conferences.require(self.engine, call.conference_sid, call.sid)
            name = ("muted", "hold", "end_conference_on_exit")[second % 3]
            conferences.update(self.engine, conference, call.sid, **{name: second < 3})

    def do_supervise(self, first, second):
        body = {"instruction": "supervise", "supervisor": "client:sam"}
        body["supervisor_mode"] = ("monitor", "whisper", "barge")[second % 3]
        for reservation in list(self.workspace.reservations.values())[-1 - first :][:1]:
            instructions.execute(self.engine, self.workspace, reservation, body)

    def do_transfer(self, first, second):
        attributes = self.alice.attributes
        workers.set_attributes(self.engine, self.workspace, self.bob, attributes)
        to = (self.bob.sid, self.alice.sid, next(iter(self.workspace.queues)))[second % 3]
        for reservation in list(self.workspace.reservations.values())[-1 - first :][:1]:
            mode = ("WARM", "COLD")[second // 3]
            tasks.transfer(self.engine, self.workspace, reservation, to=to, mode=mode)

    def do_cancel_transfer(self, first, _second):
        for task in list(self.workspace.tasks.values())[-1 - first :][:1]:
            if task.transfer:
                tasks.cancel_transfer(self.engine, self.workspace, task, task.transfer)

    def do_dial(self, _first, _second):
        self.documents["incoming_call"] = '<Dial action="left_queue">+15550003333</Dial>'

    def do_time(self, first, second):
        self.run((0.5, 1, 2, 5, 9, 60, 299, 1200)[first % 8] + second)


STEPS = st.tuples(
    st.sampled_from(
        ["task", "activity", "activity", "reservation", "end", "instruction", "call", "call",
         "hang_up", "answer", "participant", "supervise", "transfer", "cancel_transfer", "dial",
         "time", "time"]
    ),
    st.integers(0, 7),
    st.integers(0, 5),
)  # fmt: skip


def as_text(effect):
    """Return an effect as text, because Events can't be compared."""
    if isinstance(effect, EventCallback):
        return f"{effect.url} {vars(effect.event)}"
    return repr(effect)


RINGING = [("activity", 1, 0), ("instruction", 1, 0), ("call", 1, 1)]
CONFERENCE = [
    ("activity", 1, 0), ("activity", 0, 0), ("instruction", 2, 0), ("call", 1, 1), ("time", 4, 0)
]  # fmt: skip
TRANSFER = [*CONFERENCE, ("transfer", 0, 0)]
SCENARIOS = {
    "nothing": [],
    "a ringing phone": RINGING,
    "a phone ringing for a conference": [("activity", 1, 0), ("instruction", 2, 0), ("call", 1, 1)],
    "an unanswered phone": [("activity", 1, 0), ("instruction", 1, 0), ("call", 1, 0)],
    "a ringing phone with a document": [("activity", 1, 0), ("instruction", 5, 0), ("call", 1, 1)],
    "a connected call": [*RINGING, ("time", 4, 0)],
    "a wrapped Task": [*RINGING, ("time", 4, 0), ("end", 0, 0)],
    "a ringing dialed phone": [("dial", 0, 0), ("call", 1, 1)],
    "a conference": CONFERENCE,
    "a supervised conference": [*CONFERENCE, ("participant", 0, 0), ("supervise", 0, 1)],
    "an offered transfer": [*CONFERENCE, ("instruction", 0, 0), ("transfer", 0, 0)],
    "a phone ringing for a transfer": TRANSFER,
    "a cold transfer": [*CONFERENCE, ("transfer", 0, 3)],
    "a canceled transfer": [*TRANSFER, ("cancel_transfer", 0, 0)],
}


@settings(max_examples=60, deadline=None)
@given(
    scenario=st.sampled_from(list(SCENARIOS)),
    before=st.lists(STEPS, max_size=10),
    after=st.lists(STEPS, max_size=12),
    options=st.fixed_dictionaries(
        {"answer_seconds": st.sampled_from([4.0, 0.0])},
        optional={
            "unanswered_call": st.sampled_from(["canceled", "rejected", "timeout", "pending"]),
            "routing_delay": st.just(0.5),
        },
    ),
)
def test_effects_are_the_same_with_and_without_a_restore(scenario, before, after, options):
    original, restored = Center(**options), Center(**options)
    for step in [*SCENARIOS[scenario], *before]:
        original.do(step)
        restored.do(step)
    restored.restore()
    assert restored.state() == original.state()
    for step in [*after, ("time", 7, 0)]:
        original.do(step)
        restored.do(step)
    assert list(map(as_text, restored.effects)) == list(map(as_text, original.effects))
    assert restored.state() == original.state()


@pytest.mark.parametrize("answer_seconds", [4.0, 0.0])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_can_be_restored(scenario, answer_seconds):
    original, restored = (Center(answer_seconds=answer_seconds) for _ in range(2))
    for step in SCENARIOS[scenario]:
        original.do(step)
        restored.do(step)
    restored.restore()
    assert restored.state() == original.state()
    for step in [("hang_up", 0, 0), ("time", 5, 0), ("activity", 0, 0), ("time", 7, 0)]:
        original.do(step)
        restored.do(step)
    assert list(map(as_text, restored.effects)) == list(map(as_text, original.effects))
    assert restored.state() == original.state()


def test_selected_scenarios_match_their_names():
    centers = {}
    for scenario, steps in SCENARIOS.items():
        centers[scenario] = center = Center(answer_seconds=4.0)
        for step in steps:
            center.do(step)

    def conference(scenario):
        (found,) = centers[scenario].engine.conferences.values()
        return found

    def transfer(scenario):
        (task,) = centers[scenario].workspace.tasks.values()
        return task.transfer

    assert list(centers["a ringing dialed phone"].engine.calls.values())[-1].on_answer
    assert len(conference("a conference").participants) == 2
    assert conference("a conference").events_sent == 3
    assert len(conference("a supervised conference").participants) == 3
    statuses = [transfer(scenario).status for scenario in list(SCENARIOS)[-4:]]
    assert statuses == ["initiated", "initiated", "initiated", "canceled"]
    assert centers["a phone ringing for a transfer"].worker_leg().on_answer


def ringing_center(**options):
    """Return a center in which a caller is waiting and a Worker's phone is ringing."""
    center = Center(answer_seconds=4.0, **options)
    center.instruction = DEQUEUE
    center.make_alice_idle()
    center.place_call("1")
    assert center.worker_leg().on_no_answer
    return center


def test_ringing_phone_is_answered_after_a_restore():
    center = ringing_center()
    center.restore()
    center.run(4)
    assert center.worker_leg().status == "in-progress"
    assert [task.status for task in center.workspace.tasks.values()] == ["assigned"]


def test_restore_preserves_shared_references():
    center = ringing_center()
    center.restore()
    (task,), (reservation,) = (
        center.workspace.tasks.values(),
        center.workspace.reservations.values(),
    )
    assert task.reservations == [reservation]
    assert center.alice.held == {reservation.sid: reservation}
    (workflow,) = center.workspace.workflows.values()
    assert task.step.configuration is workflow.configuration
    leg = center.worker_leg()
    (ringing, give_up) = leg.on_no_answer.args
    (call, _) = give_up.args
    assert ringing is call.leg is leg
    assert (call.reservation, call.engine) == (reservation, center.engine)


def test_restore_keeps_the_types_of_the_values():
    center = ringing_center()
    center.restore()
    (task,) = center.workspace.tasks.values()
    assert type(task.status).__name__ == "TaskStatus"
    assert type(task.created) is float
    assert isinstance(task.step.filter.targets, tuple)


def without(document, name):
    return {key: value for key, value in document.items() if key != name}


def with_valid_checksum(document):
    content = without(document, "checksum")
    return {**content, "checksum": snapshots._checksum(content)}


CHANGES = {
    "no checksum": (lambda document: without(document, "checksum"), "checksum"),
    "a wrong checksum": (lambda document: {**document, "checksum": "0" * 64}, "checksum"),
    "a number as the checksum": (lambda document: {**document, "checksum": 5}, "checksum"),
    "an additional key": (lambda document: {**document, "more": 1}, "checksum"),
    "a changed value": (lambda document: {**document, "version": 2}, "checksum"),
    "an empty document": (lambda _document: {}, "checksum"),
    "a different version": (
        lambda document: with_valid_checksum({**document, "version": 2}),
        "the version of the snapshot must be 1",
    ),
    "no version": (
        lambda document: with_valid_checksum(without(document, "version")),
        "the version of the snapshot must be 1",
    ),
    "no objects": (
        lambda document: with_valid_checksum(without(document, "objects")),
        "the snapshot is from a different version of the simulator: 'objects'",
    ),
    "an unknown field": (
        lambda document: with_valid_checksum(
            {**document, "objects": {**document["objects"], document["state"]: {"a": 1}}}
        ),
        "the snapshot is from a different version of the simulator: State has no field a",
    ),
    "a missing field": (
        lambda document: with_valid_checksum(
            {**document, "objects": {**document["objects"], document["state"]: {}}}
        ),
        "the snapshot is from a different version of the simulator: workspace_sid is missing",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_invalid_snapshot_is_rejected_and_changes_nothing(change):
    apply, message = CHANGES[change]
    center = ringing_center()
    before = center.state()
    with pytest.raises(SnapshotError, match=message):
        center.simulator.restore(apply(center.simulator.snapshot()))
    assert center.state() == before


def places(value):
    """Yield the container and the key of each value in a JSON document."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def test_snapshot_with_wrong_value_and_valid_checksum_is_restored_or_changes_nothing():
    center = ringing_center()
    center.simulator.faults.add({"on": "event", "kind": "latency", "seconds": 1})
    document = center.simulator.snapshot()
    names = [name for name in document["objects"] if name.isdecimal()]
    state = {name: document["objects"][name] for name in names[names.index(document["state"]) :]}
    assert len(state) > 5
    simulator = Simulator(Settings(**center.options))
    for container, key in [(document, "state"), *places(state)]:
        original = container[key]
        for value in (None, 10**400, "engine", [[]]):
            container[key] = value
            unchanged = simulator.snapshot()
            try:
                asyncio.run(restore_in_event_loop(simulator, with_valid_checksum(document)))
            except SnapshotError:
                assert simulator.snapshot() == unchanged
            else:
                simulator = Simulator(Settings(**center.options))
        container[key] = original


def test_deeply_nested_document_is_rejected():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SnapshotError, match="checksum"):
        Center().simulator.restore({"objects": nested, "checksum": ""})


def whole_numbers(value):
    """Return JSON with whole numbers as integers, as JavaScript writes them."""
    if isinstance(value, dict):
        return {key: whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value == int(value) else value


def test_snapshot_rewritten_by_javascript_can_be_restored():
    center = ringing_center()
    snapshot = center.simulator.snapshot()
    copy = dict(sorted(whole_numbers(snapshot).items()))
    assert json.dumps(copy) != json.dumps(snapshot)
    other = Simulator(Settings(**center.options))
    asyncio.run(restore_in_event_loop(other, copy))
    assert type(other.clock.now()) is float
    assert other.clock.now() == center.clock.now()


async def restore_in_event_loop(simulator, snapshot):
    simulator.restore(snapshot)


def test_field_without_a_stored_value_gets_its_default():
    center = ringing_center()
    snapshot = center.simulator.snapshot()
    (task,) = center.workspace.tasks
    del snapshot["objects"][task]["is_waiting"], snapshot["objects"][task]["reoffer_times"]
    del snapshot["engine"]["sids_created"]
    other = Simulator(Settings(**center.options))
    asyncio.run(restore_in_event_loop(other, with_valid_checksum(snapshot)))
    workspace = other.engine.workspaces[other.workspace_sid]
    assert workspace.tasks[task].is_waiting is False
    assert workspace.tasks[task].reoffer_times == {}
    assert other.engine.sids_created == 0


def test_engine_fields_that_hold_state_are_stored_in_snapshots():
    names = {field.name for field in dataclasses.fields(Engine)}
    assert names >= NOT_STORED
    assert names - NOT_STORED >= {"workspaces", "calls", "sids_created", "resources_created"}


def test_every_timer_calls_a_registered_function():
    center = ringing_center()
    center.create_task()
    actions = [timer.action for timer in center.clock.pending()]
    assert actions
    for action in actions:
        assert isinstance(action, partial)
        function = getattr(action.func, "__func__", action.func)
        assert function in FUNCTIONS.values()


def test_running_clock_continues_at_the_time_of_the_snapshot():
    first = Simulator(Settings(frozen_clock=False))
    first.clock.jump(first.clock.now() + 1000)
    second = Simulator(Settings(frozen_clock=False))
    taken = first.clock.now()
    asyncio.run(restore_in_event_loop(second, first.snapshot()))
    assert taken <= second.clock.now() < taken + 60


def test_numbering_of_log_entries_continues_from_the_snapshot():
    first, second = Simulator(Settings()), Simulator(Settings())
    for _ in range(3):
        first.log.record("alert")
    second.log.record("alert")
    asyncio.run(restore_in_event_loop(second, first.snapshot()))
    assert second.log.entries() == []
    second.log.record("alert")
    assert [entry["id"] for entry in second.log.entries()] == [4]


def test_faults_are_restored_with_their_ids():
    first, second = Simulator(Settings()), Simulator(Settings())
    first.faults.add({"on": "request", "kind": "cut", "times": 2})
    first.faults.add({"on": "event", "kind": "duplicate"})
    first.faults.take("event", "POST", "/")
    second.faults.add({"on": "request", "kind": "latency", "seconds": 1})
    asyncio.run(restore_in_event_loop(second, first.snapshot()))
    assert second.faults.pending() == first.faults.pending()
    assert second.faults.add({"on": "request", "kind": "cut"}).id == 3
