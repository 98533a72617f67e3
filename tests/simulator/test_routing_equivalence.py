"""Routing with indexes has the same effects, in the same order, as the reference implementation."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from taskrouter_simulator.engine import workflows as engine_workflows
from taskrouter_simulator.engine.model import ReservationStatus, TaskStatus
from tests.simulator.routing_twins import Twins

PICK = st.integers(0, 30)
NAMES = st.sampled_from(["Ann", "Ben", "Cem", "Dan", "Eve"])
ACTIVITIES = st.sampled_from(["Idle", "Idle", "Idle", "Free", "Offline", "Reserved", "Busy"])
CHANNELS = st.sampled_from(["default", "chat", "extra"])
LEVELS = st.integers(0, 3)
QUEUE_EXPRESSIONS = st.sampled_from(
    [
        "1==1",
        "",
        "level >= 2",
        "worker.skills HAS 'a'",
        "activity_name == 'Idle'",
        "worker.activity_name != 'Free'",
        "worker.channel.chat.assigned_tasks > 0",
        "worker.channel.default.available_capacity_percentage < 100",
        "friendly_name == 'Ann'",
    ]
)
TARGETS = st.fixed_dictionaries(
    {},
    optional={
        "expression": st.sampled_from(
            [
                "worker.level >= task.level",
                "worker.level == task.level",
                "worker.friendly_name == task.name",
                "task.level IN worker.levels OR worker.level > 2",
                "taskrouter.currentTime >= 2214 AND worker.level > 0",
                "taskrouter.currentMin != 15",
                "worker.channel.default.available_capacity_percentage < 100",
                "worker.channel.chat.assigned_tasks == 0",
                "worker.activity_name == 'Idle'",
                "worker.level >= task.level AND worker.channel.chat.assigned_tasks == 0",
                "(task.level IN worker.levels OR worker.level > 2) AND worker.activity_sid != ''",
                "(worker.activity_name == 'Idle' AND taskrouter.currentMin != 15) AND 1 == 1",
                "worker.channel.chat.assigned_tasks < task.level AND worker.level != task.level",
                "worker.activity_name == 'Idle' OR taskrouter.currentTime >= 2214",
            ]
        ),
        "timeout": st.sampled_from([1, 5, 40]),
        "priority": st.integers(0, 2),
        "skip_if": st.sampled_from(
            [
                "workers.available == 0",
                "workers.unavailable > 1",
                "taskrouter.currentMin == 14",
                "workers.IDLE == task.level",
            ]
        ),
        "order_by": st.sampled_from(
            [
                "worker.level DESC",
                "worker.age ASC, worker.level",
                "worker.channel.default.available_capacity_percentage DESC, worker.level",
            ]
        ),
        "known_worker_sid": st.just("task.agent"),
        "known_worker_friendly_name": st.just("task.name"),
        "queue": st.integers(0, 3),
    },
)
FILTERS = st.lists(
    st.tuples(
        st.sampled_from(["1==1", "level > 1", "taskrouter.currentTime >= 2215", "name == 'Ann'"]),
        st.lists(TARGETS, min_size=1, max_size=3),
    ),
    max_size=2,
)


def configuration(side, filters, default):
    """Return a Workflow configuration as JSON; filters refer to TaskQueues by number."""

    def target(item, index=0):
        number = item.get("queue", 0 if index == 0 else None)
        queue = {} if number is None else {"queue": side.pick("queues", number).sid}
        return {**item, **queue}

    document = {
        "task_routing": {
            "filters": [
                {
                    "expression": expression,
                    "targets": [target(item, index) for index, item in enumerate(targets)],
                }
                for expression, targets in filters
            ],
            "default_filter": {"queue": side.pick("queues", default).sid},
        }
    }
    return json.dumps(document).replace("IDLE", side.workspace.activity("Idle").sid)


class RoutingMachine(RuleBasedStateMachine):
    @initialize(
        multi=st.booleans(),
        capacity=st.integers(1, 2),
        routing_delay=st.sampled_from([0.0, 0.0, 0.5]),
        reoffer_delay=st.sampled_from([1.0, 3.0]),
        expressions=st.lists(QUEUE_EXPRESSIONS, min_size=2, max_size=4),
        filters=FILTERS,
        default_filter_timeout=st.booleans(),
        moves=st.booleans(),
    )
    def start(
        self, *, multi, capacity, routing_delay, reoffer_delay, expressions, filters,
        default_filter_timeout, moves,
    ):  # fmt: skip
        self.twins = Twins(
            multi=multi,
            default_capacity=capacity,
            routing_delay=routing_delay,
            reoffer_delay=reoffer_delay,
            default_filter_timeout=default_filter_timeout,
            timeout_moves_to_next_target=moves,
            max_assignments=6,
            closed_task_seconds=7,
        )
        for name in ("Offline", "Idle", "Free", "Reserved", "Busy"):
            self.add_activity(name, available=name in {"Idle", "Free"})
        self.add_channel()
        for expression in expressions:
            self.add_queue(expression, 1, "FIFO")
        self.add_workflow(filters, 0)
        for level, name in enumerate(("Ann", "Ben", "Cem")):
            self.twins.add_worker(name, level=level, skills=["a"])

    def do(self, operation):
        return self.twins.do(operation)

    def update(self, collection, number, operation, *arguments, **options):
        """Execute an operation on a resource in both engines, unless the collection is empty."""

        def execute(side):
            if resource := side.pick(collection, number):
                operation(side.engine, side.workspace, resource, *arguments, **options)

        return self.do(execute)

    def add_activity(self, name, *, available):
        self.do(
            lambda side: workspaces.add_activity(
                side.engine, side.workspace, friendly_name=name, available=available
            )
        )

    @rule(number=PICK, name=st.sampled_from(["Idle", "Free", "Other"]))
    def rename_activity(self, number, name):
        def rename(engine, workspace, activity):
            if workspace.activity(name) is None and activity.friendly_name != "Idle":
                activity.friendly_name = name
                engine.touch(activity)

        self.update("activities", number, rename)

    @rule()
    def add_channel(self):
        self.do(
            lambda side: workspaces.add_channel(
                side.engine, side.workspace, friendly_name="Extra", unique_name="extra"
            )
        )

    @rule(number=PICK)
    def delete_channel(self, number):
        self.update("channels", number, workspaces.delete_channel)

    @rule(
        expression=QUEUE_EXPRESSIONS,
        maximum=st.integers(1, 2),
        order=st.sampled_from(["FIFO", "LIFO"]),
    )
    def add_queue(self, expression, maximum, order):
        self.do(
            lambda side: workspaces.add_queue(
                side.engine,
                side.workspace,
                friendly_name=f"Queue {len(side.workspace.queues)}",
                target_workers=expression,
                max_reserved_workers=maximum,
                task_order=order,
                reservation_activity_sid=side.workspace.activity("Reserved").sid
                if side.workspace.activity("Reserved")
                else None,
            )
        )

    @rule(
        number=PICK,
        expression=QUEUE_EXPRESSIONS,
        maximum=st.integers(1, 3),
        order=st.sampled_from(["FIFO", "LIFO"]),
    )
    def change_queue(self, number, expression, maximum, order):
        def change(engine, workspace, queue):
            queue.target_workers = expression
            queue.max_reserved_workers, queue.task_order = maximum, order
            engine.touch(queue)
            engine.schedule_routing(workspace)

        self.update("queues", number, change)

    @rule(number=PICK)
    def delete_queue(self, number):
        def delete(engine, workspace, queue):
            if len(workspace.queues) > 1:
                workspaces.delete_queue(engine, workspace, queue)

        self.update("queues", number, delete)

    @rule(order=st.sampled_from(["FIFO", "LIFO"]), multi=st.booleans())
    def change_workspace(self, order, multi):
        def change(side):
            side.workspace.prioritize_queue_order = order
            side.workspace.multi_task_enabled |= multi
            side.engine.touch(side.workspace)
            side.engine.schedule_routing(side.workspace)

        self.do(change)

    @rule(filters=FILTERS, default=PICK)
    def add_workflow(self, filters, default):
        self.do(
            lambda side: engine_workflows.add(
                side.engine,
                side.workspace,
                friendly_name=f"Workflow {len(side.workspace.workflows)}",
                configuration=configuration(side, filters, default),
                assignment_callback_url="http://127.0.0.1/assignment",
                task_reservation_timeout=5,
            )
        )

    @rule(number=PICK, filters=FILTERS, default=PICK, reevaluate=st.booleans())
    def change_workflow(self, number, filters, default, reevaluate):
        def change(side):
            workflow = side.pick("workflows", number)
            workflow.text = configuration(side, filters, default)
            workflow.configuration = engine_workflows.require_configuration(
                side.engine, side.workspace, workflow.text
            )
            side.engine.touch(workflow)
            if reevaluate:
                tasks.reevaluate(side.engine, side.workspace, workflow)

        self.do(change)

    @rule(name=NAMES, activity=ACTIVITIES, level=LEVELS)
    def add_worker(self, name, activity, level):
        if self.twins.sides[0].workspace.activity(activity):
            self.twins.add_worker(name, activity, level=level, skills=["a"] if level else [])

    @rule(number=PICK)
    def delete_worker(self, number):
        self.update("workers", number, workers.delete)

    @rule(number=PICK, name=NAMES)
    def rename_worker(self, number, name):
        def rename(engine, workspace, worker):
            workers.require_free_name(workspace, name)
            worker.friendly_name = name
            engine.touch(worker)

        self.update("workers", number, rename)

    @rule(number=PICK, activity=ACTIVITIES)
    def set_activity(self, number, activity):
        def change(engine, workspace, worker):
            if target := workspace.activity(activity):
                workers.set_activity(engine, workspace, worker, target.sid)

        self.update("workers", number, change)

    @rule(number=PICK, level=LEVELS, age=st.integers(1, 2), skilled=st.booleans())
    def set_attributes(self, number, level, age, skilled):
        attributes = {"level": level, "age": age, "levels": [level], "skills": ["a"] * skilled}
        self.update("workers", number, workers.set_attributes, json.dumps(attributes))

    @rule(
        number=PICK,
        channel=CHANNELS,
        capacity=st.none() | st.integers(0, 3),
        available=st.none() | st.booleans(),
    )
    def update_channel(self, number, channel, capacity, available):
        def change(engine, workspace, worker):
            if found := workspace.channel(channel):
                worker_channel = worker.channels[found.sid]
                workers.update_channel(
                    engine,
                    workspace,
                    worker,
                    worker_channel,
                    capacity=capacity,
                    available=available,
                )

        self.update("workers", number, change)

    @rule(
        level=LEVELS,
        name=NAMES,
        agent=PICK,
        priority=st.integers(0, 2),
        channel=CHANNELS,
        timeout=st.sampled_from([3, 30, 1000]),
        workflow=PICK,
        age=st.sampled_from([None, None, 5.0]),
    )
    def create_task(self, *, level, name, agent, priority, channel, timeout, workflow, age):
        def create(side):
            worker = side.pick("workers", agent)
            tasks.create(
                side.engine,
                side.workspace,
                attributes=json.dumps(
                    {"level": level, "name": name, "agent": worker.sid if worker else "nobody"}
                ),
                priority=priority,
                timeout=timeout,
                channel=channel,
                workflow_sid=side.pick("workflows", workflow).sid,
                virtual_start_time=None if age is None else side.clock.now() - age,
            )

        self.do(create)

    @rule(kind=st.sampled_from(["workers", "queues"]), number=PICK, ignore=st.booleans())
    def create_targeted_task(self, kind, number, ignore):
        def create(side):
            if target := side.pick(kind, number):
                tasks.create(
                    side.engine,
                    side.workspace,
                    routing_target=target.sid,
                    ignore_capacity=ignore if kind == "workers" else None,
                )

        self.do(create)

    @rule(
        number=PICK,
        level=st.none() | LEVELS,
        priority=st.none() | st.integers(0, 3),
        channel=st.none() | CHANNELS,
        age=st.sampled_from([None, 9.0]),
    )
    def update_task(self, number, level, priority, channel, age):
        def change(side):
            if task := side.pick("tasks", number):
                tasks.update(
                    side.engine,
                    side.workspace,
                    task,
                    attributes=None if level is None else json.dumps({"level": level}),
                    priority=priority,
                    channel=channel,
                    virtual_start_time=None if age is None else side.clock.now() - age,
                )

        self.do(change)

    @rule(number=PICK, verb=st.sampled_from(["cancel", "wrap", "complete", "complete", "delete"]))
    def end_task(self, number, verb):
        self.update("tasks", number, getattr(assignments, verb))

    @rule(status=st.sampled_from(["assigned", "wrapping", "pending", "reserved"]), number=PICK)
    def end_task_with_status(self, status, number):
        verb = assignments.cancel if status in {"pending", "reserved"} else assignments.complete

        def end(side):
            matching = [
                task for task in side.workspace.tasks.values() if task.status is TaskStatus(status)
            ]
            if matching:
                verb(side.engine, side.workspace, matching[number % len(matching)])

        self.do(end)

    @rule(
        number=PICK,
        decision=st.sampled_from(["accept", "accept", "reject", "cancel_and_reoffer"]),
        activity=st.none() | ACTIVITIES,
    )
    def decide(self, number, decision, activity):
        def execute(side):
            pending = [
                item
                for item in side.workspace.reservations.values()
                if item.status is ReservationStatus.PENDING
            ]
            if not pending:
                return
            arguments = [side.engine, side.workspace, pending[number % len(pending)]]
            if decision == "reject" and activity and side.workspace.activity(activity):
                arguments.append(side.workspace.activity(activity).sid)
            module = assignments if decision == "accept" else reservations
            getattr(module, decision)(*arguments)

        self.do(execute)

    @rule(seconds=st.sampled_from([0, 0.5, 1, 2, 5, 10, 40, 60, 1000]))
    def advance(self, seconds):
        self.do(lambda side: side.clock.advance(seconds))


RoutingMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestRoutingEquivalence = RoutingMachine.TestCase


@pytest.mark.slow
def test_routing_is_equivalent_in_many_examples():
    many = settings(max_examples=300, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(RoutingMachine, settings=many)


def twins_with(filters, target_workers="1==1", **options):
    """Return twins with three Activities, one TaskQueue and one Workflow."""
    twins = Twins(**options)

    def build(side):
        context = side.engine, side.workspace
        for name in ("Offline", "Idle", "Free"):
            workspaces.add_activity(*context, friendly_name=name, available=name != "Offline")
        workspaces.add_queue(*context, friendly_name="All", target_workers=target_workers)
        text = configuration(side, filters, 0)
        engine_workflows.add(*context, friendly_name="Test", configuration=text)

    twins.do(build)
    return twins


def create_task(twins, priority=0, **attributes):
    twins.do(
        lambda side: tasks.create(
            side.engine, side.workspace, attributes=json.dumps(attributes), priority=priority
        )
    )


def statuses(twins):
    return [task.status for task in twins.sides[0].workspace.tasks.values()]


def set_activity(twins, activity):
    """Set the first Worker's Activity."""
    twins.do(
        lambda side: workers.set_activity(
            side.engine,
            side.workspace,
            side.pick("workers", 0),
            side.workspace.activity(activity).sid,
        )
    )


def test_task_that_loses_priority_during_a_pass_is_not_examined_again_in_that_pass():
    """The first Task matches only after the same pass has reserved a Worker for the second Task."""
    busy = "worker.channel.default.available_capacity_percentage < 100"
    targets = [
        {"queue": 0, "timeout": 5, "expression": "1==0"},
        {"queue": 0, "priority": 0, "expression": busy},
    ]
    twins = twins_with([("level == 1", targets)], default_capacity=3, routing_delay=1000)
    twins.add_worker("Ann")
    create_task(twins, priority=9, level=1)
    create_task(twins, priority=5, level=0)
    for side in twins.sides:
        side.clock.jump(side.clock.now() + 6)
    twins.do(lambda side: side.engine.schedule_routing(side.workspace, side.clock.now()))
    assert statuses(twins) == ["pending", "reserved"]
    twins.do(lambda side: side.engine.schedule_routing(side.workspace, side.clock.now()))
    assert statuses(twins) == ["reserved", "reserved"]


def test_no_pass_is_scheduled_for_a_rejecting_worker_who_went_offline():
    twins = twins_with([], reoffer_delay=50)
    twins.add_worker("Ann")
    create_task(twins)
    twins.do(
        lambda side: reservations.reject(side.engine, side.workspace, side.pick("reservations", 0))
    )
    assert "routing" in {kind for kind, _ in twins.sides[0].engine.timers}
    set_activity(twins, "Offline")
    assert "routing" not in {kind for kind, _ in twins.sides[0].engine.timers}


def test_worker_who_joins_a_queue_by_activity_change_is_offered_a_task_with_a_target_expression():
    filters = [("1==1", [{"queue": 0, "expression": "worker.level == task.level"}])]
    twins = twins_with(filters, "activity_name == 'Idle'")
    twins.add_worker("Ann", "Free", level=1)
    create_task(twins, level=1)
    assert statuses(twins) == ["pending"]
    set_activity(twins, "Idle")
    assert statuses(twins) == ["reserved"]


def test_known_worker_who_joins_the_queue_by_activity_change_is_offered_the_task():
    filters = [("1==1", [{"queue": 0, "known_worker_friendly_name": "task.name"}])]
    twins = twins_with(filters, "activity_name == 'Idle'")
    twins.add_worker("Ann", "Free")
    create_task(twins, name="ann")
    assert statuses(twins) == ["pending"]
    set_activity(twins, "Idle")
    assert statuses(twins) == ["reserved"]


def test_condition_on_state_and_time_is_evaluated_when_the_minute_changes():
    expression = "worker.activity_name == 'Free' OR taskrouter.currentTime >= 2214"
    twins = twins_with([("1==1", [{"queue": 0, "expression": expression}])])
    twins.add_worker("Ann")
    create_task(twins)
    assert statuses(twins) == ["pending"]
    twins.do(lambda side: side.clock.advance(40))
    assert statuses(twins) == ["reserved"]


@pytest.mark.parametrize("change", ["rename", "delete"])
def test_known_worker_is_not_found_by_a_former_name(change):
    filters = [("1==1", [{"queue": 0, "known_worker_friendly_name": "task.name"}])]
    twins = twins_with(filters)
    twins.add_worker("Ann", "Offline")
    twins.add_worker("Ben")
    create_task(twins, name="nobody")

    def execute(side):
        worker = side.pick("workers", 0)
        if change == "delete":
            workers.delete(side.engine, side.workspace, worker)
        else:
            worker.friendly_name = "Cem"
            side.engine.touch(worker)

    twins.do(execute)
    create_task(twins, name="ann")
    create_task(twins, name="ben")
    assert statuses(twins) == ["pending", "pending", "reserved"]


def test_known_worker_is_found_by_the_former_name_of_another_worker():
    filters = [("1==1", [{"queue": 0, "known_worker_friendly_name": "task.name"}])]
    twins = twins_with(filters)
    twins.add_worker("Ann")
    twins.add_worker("Ben")
    create_task(twins, name="nobody")

    def rename(side):
        for number, name in ((1, "Ann"), (0, "Cem")):
            worker = side.pick("workers", number)
            worker.friendly_name = name
            side.engine.touch(worker)

    twins.do(rename)
    create_task(twins, name="ANN")
    (reservation,) = twins.sides[0].workspace.reservations.values()
    assert reservation.worker_name == "Ann"


def test_no_pass_is_scheduled_for_the_time_expression_of_a_deleted_task():
    target = {"queue": 0, "expression": "taskrouter.currentTime > 2300"}
    twins = twins_with([("1==1", [target])])
    create_task(twins)
    assert "routing" in {kind for kind, _ in twins.sides[0].engine.timers}
    twins.do(lambda side: assignments.delete(side.engine, side.workspace, side.pick("tasks", 0)))
    twins.do(lambda side: side.clock.advance(60))
    assert "routing" not in {kind for kind, _ in twins.sides[0].engine.timers}


def test_capacity_is_free_after_a_reserved_task_moves_to_another_channel():
    twins = twins_with([])
    twins.add_worker("Ann")
    create_task(twins)
    create_task(twins)
    assert statuses(twins) == ["reserved", "pending"]
    twins.do(
        lambda side: tasks.update(
            side.engine, side.workspace, side.pick("tasks", 0), channel="chat"
        )
    )
    assert statuses(twins) == ["reserved", "reserved"]


def test_waiting_task_matches_after_the_channel_in_its_expression_is_added_again():
    target = {"queue": 0, "expression": "worker.channel.extra.available == true"}
    twins = Twins()

    def add_channel(side):
        workspaces.add_channel(
            side.engine, side.workspace, friendly_name="Extra", unique_name="extra"
        )

    def build(side):
        context = side.engine, side.workspace
        workspaces.add_activity(*context, friendly_name="Idle", available=True)
        workspaces.add_queue(*context, friendly_name="All")
        add_channel(side)
        text = configuration(side, [("1==1", [target])], 0)
        engine_workflows.add(*context, friendly_name="Test", configuration=text)

    def delete_channel(side):
        workflow = side.pick("workflows", 0)
        workflow.text = "{}"  # waiting Tasks still use the previous configuration
        workspaces.delete_channel(side.engine, side.workspace, side.workspace.channel("extra"))
        side.engine.schedule_routing(side.workspace)

    twins.do(build)
    create_task(twins)
    twins.do(delete_channel)
    twins.add_worker("Ann")
    assert statuses(twins) == ["pending"]
    twins.do(add_channel)
    twins.do(lambda side: side.engine.schedule_routing(side.workspace))
    assert statuses(twins) == ["reserved"]
