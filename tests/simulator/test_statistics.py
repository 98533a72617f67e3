"""The statistics match those computed from the Events."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import initialize, invariant, rule

from taskrouter_simulator.engine import assignments, statistics, workers
from taskrouter_simulator.engine.history import RETENTION, Fact, History, Kind, Stay
from taskrouter_simulator.engine.statistics import Interval
from tests.simulator.conftest import Simulation
from tests.simulator.state_simulation import StateSimulation
from tests.simulator.test_engine_invariants import EngineMachine
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter

COUNTED = {
    "task.created": "tasks_created",
    "task-queue.entered": "tasks_entered",
    "task-queue.moved": "tasks_moved",
    "task.completed": "tasks_completed",
    "task.canceled": "tasks_canceled",
    "task.deleted": "tasks_deleted",
    "task.system-deleted": "tasks_deleted",
    "workflow.timeout": "tasks_timed_out_in_workflow",
    "reservation.created": "reservations_created",
    "reservation.accepted": "reservations_accepted",
    "reservation.rejected": "reservations_rejected",
    "reservation.timeout": "reservations_timed_out",
    "reservation.canceled": "reservations_canceled",
    "reservation.rescinded": "reservations_rescinded",
}


class StatisticsMachine(EngineMachine):
    @initialize(multi=st.booleans(), max_reserved=st.integers(1, 3), capacity=st.integers(1, 3))
    def start_engine(self, multi, max_reserved, capacity):
        targets = {"queue": "One", "timeout": 4}, {"queue": "Two", "timeout": 300}
        simulation = WorkflowSimulation(
            catch_all_filter(*targets),
            multi=multi,
            default_capacity=capacity,
            closed_task_seconds=7,
            assigned_task_seconds=5000,
        )
        self.simulation, self.engine = simulation, simulation.engine
        self.workspace = simulation.workspace
        del self.workspace.workflows[next(iter(self.workspace.workflows))]
        for queue in self.workspace.queues.values():
            queue.max_reserved_workers = max_reserved
        simulation.queues["One"].target_workers = 'languages HAS "es"'
        simulation.queues["Two"].target_workers = "1==1"
        for worker in simulation.alice, simulation.bob:
            simulation.set_activity(worker, "Idle")
        self.statuses = {}

    @rule(number=st.integers(0, 30), is_completed=st.booleans())
    def accept_task(self, number, is_completed):
        """Accept a pending Reservation, and optionally complete the Task."""
        self.simulation.clock.run_due()
        reservations = self.workspace.reservations.items()
        pending = {sid: item for sid, item in reservations if item.status == "pending"}
        if reservation := self.pick(pending, number):
            self.attempt(assignments.accept, reservation)
            if is_completed:
                self.attempt(assignments.complete, self.workspace.tasks[reservation.task_sid])

    @rule(seconds=st.sampled_from([0, 1, 1, 2, 2, 4, 4, 7, 10, 900, RETENTION // 2]))
    def advance(self, seconds):
        self.simulation.clock.advance(seconds)

    @rule(number=st.integers(0, 30))
    def delete_worker_and_create_another(self, number):
        self.attempt(workers.delete, self.pick(self.workspace.workers, number))
        if len(self.workspace.workers) < 3:
            activity_sid = self.simulation.activity_sid("Idle")
            name = f"Worker {len(self.workspace.events)}"
            workers.create(
                self.engine, self.workspace, friendly_name=name, activity_sid=activity_sid
            )

    @rule(
        name=st.sampled_from(["Alice", "Bob"]), activity=st.sampled_from(["Idle", "Idle", "Busy"])
    )
    def set_activity(self, name, activity):
        named = [item for item in self.workspace.workers.values() if item.friendly_name == name]
        for worker in named:
            sid = self.simulation.activity_sid(activity)
            workers.set_activity(self.engine, self.workspace, worker, sid)

    @rule(
        age=st.sampled_from([0, 1, 3, 5, 10, 900, 100_000, RETENTION]),
        length=st.sampled_from([0, 1, 4, 900, 100_000, RETENTION]),
    )
    def compare_interval(self, age, length):
        start = self.engine.now() - age
        self.compare(Interval(start, min(start + length, self.engine.now())))

    def teardown(self):
        self.compare(Interval(self.engine.now() - RETENTION, self.engine.now()))

    @invariant()
    def history_is_limited_to_thirty_days_before_the_newest_fact(self):
        history = self.workspace.history
        for times in [fact.at for fact in history.facts], [stay.ended for stay in history.stays]:
            assert times == sorted(times)
            assert not times or times[0] >= times[-1] - RETENTION

    def compare(self, interval):
        facts = interval.facts(self.workspace.history)
        for field, name in ("queue_sid", "TaskQueueSid"), ("workflow_sid", "WorkflowSid"):
            for sid in {getattr(fact, field) for fact in facts}:
                selected = [fact for fact in facts if getattr(fact, field) == sid]
                computed = statistics.sum_tasks(selected, [0, 3, 900])
                assert computed == self.expected(interval, name, sid)
        for worker_sid in [None, *self.workspace.workers]:
            found = [fact for fact in facts if worker_sid in {None, fact.worker_sid}]
            expected = Counter(
                COUNTED[event.event_type]
                for event, _ in self.located_events(interval)
                if event.event_type.startswith("reservation.")
                and worker_sid in {None, event.parameters["WorkerSid"]}
            )
            computed = statistics.sum_reservations(found)
            assert {name: count for name, count in computed.items() if count} == expected
            self.compare_activities(interval, worker_sid)

    def compare_activities(self, interval, worker_sid):
        sids = None if worker_sid is None else {worker_sid}
        computed = statistics.sum_activities(self.workspace, interval, self.engine.now(), sids)
        for activity in computed:
            seconds = [
                int(round(min(end, interval.end) - max(begin, interval.start), 3))
                for sid, activity_sid, begin, end in self.stays()
                if worker_sid in {None, sid}
                and activity_sid == activity["sid"]
                and min(end, interval.end) > max(begin, interval.start)
            ]
            assert activity == {
                "sid": activity["sid"],
                "friendly_name": self.workspace.activities[activity["sid"]].friendly_name,
                **summary(seconds),
            }

    def stays(self):
        """Return the Worker, Activity, start and end of each stay in an Activity."""
        stays, current = [], {}
        for event in self.workspace.events.values():
            if event.resource_type == "worker":
                sid, change = event.resource_sid, event.event_type
                if change in {"worker.activity.update", "worker.deleted"}:
                    stays.append((sid, *current.pop(sid), event.created))
                if change in {"worker.activity.update", "worker.created"}:
                    current[sid] = event.parameters["WorkerActivitySid"], event.created
        return stays + [(sid, *stay, self.engine.now()) for sid, stay in current.items()]

    def located_events(self, interval):
        """Return the counted Events, with their parameters and the Task's time in the TaskQueue."""
        located, entered = [], {}
        for event in self.workspace.events.values():
            parameters = event.parameters
            if event.event_type in COUNTED:
                before = entered.get(parameters["TaskSid"])
                spent = int(round(event.created - before[1], 3)) if before else 0
                if event.event_type == "task-queue.moved":
                    parameters = {**parameters, "TaskQueueSid": before[0]}
                if interval.start <= event.created <= interval.end:
                    located.append((event, (parameters, spent)))
                if event.event_type == "task-queue.entered":
                    entered[parameters["TaskSid"]] = parameters["TaskQueueSid"], event.created
        return located

    def expected(self, interval, name, sid):
        located = [
            (event.event_type, int(parameters["TaskAge"]), spent)
            for event, (parameters, spent) in self.located_events(interval)
            if parameters.get(name) == sid
        ]
        counts = Counter(COUNTED[event_type] for event_type, _, _ in located)
        accepted = [item for item in located if item[0] == "reservation.accepted"]
        waits = {
            "reservations_accepted": [age for _, age, _ in accepted],
            "tasks_canceled": [
                age for event_type, age, _ in located if event_type == "task.canceled"
            ],
        }
        return {
            **{kind: counts[kind] for kind in COUNTED.values()},
            "avg_task_acceptance_time": summary(waits["reservations_accepted"])["avg"],
            "wait_duration_until_accepted": summary(waits["reservations_accepted"]),
            "wait_duration_until_canceled": summary(waits["tasks_canceled"]),
            "wait_duration_in_queue_until_accepted": summary([spent for _, _, spent in accepted]),
            "split_by_wait_time": {
                str(threshold): {
                    "above": {name: sum(x > threshold for x in waits[name]) for name in waits},
                    "below": {name: sum(x <= threshold for x in waits[name]) for name in waits},
                }
                for threshold in (0, 3, 900)
            },
        }


def summary(seconds):
    total = sum(seconds)
    return {
        "avg": int(total / len(seconds)) if seconds else 0,
        "min": min(seconds) if seconds else 0,
        "max": max(seconds) if seconds else 0,
        "total": total,
    }


StatisticsMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=50, deadline=None
)
TestStatisticsMatchEvents = StatisticsMachine.TestCase


def fact(at, kind=Kind.TASK_CREATED, age=0):
    return Fact(at, kind, at - age, at, "TC1", None, None, None)


def test_history_retains_facts_of_the_thirty_days_before_the_newest_fact():
    history, simulation = History(), StateSimulation()
    for days in 0, 1, 30, 31:
        history.record(days * 86_400.0, Kind.TASK_CREATED, simulation.task)
        history.record_stay(days * 86_400.0, simulation.carol)
    assert [item.at / 86_400 for item in history.facts] == [1, 30, 31]
    assert [item.ended / 86_400 for item in history.stays] == [1, 30, 31]


def test_history_yields_facts_since_a_given_time_from_newest_to_oldest():
    history = History()
    history.facts.extend(fact(at) for at in (1, 2, 3))
    history.stays.extend(Stay(0, ended, "WK1", "WA1") for ended in (1, 2, 3))
    assert [item.at for item in history.facts_since(2)] == [3, 2]
    assert [item.ended for item in history.stays_since(2)] == [3, 2]
    assert list(history.facts_since(3.5)) == list(history.stays_since(3.5)) == []
    assert len(list(history.facts_since(0))) == len(list(history.stays_since(0))) == 3


def test_interval_includes_its_start_and_its_entire_last_second():
    history = History()
    history.facts.extend(fact(at) for at in (9.9, 10, 15, 20.9, 21))
    assert [item.at for item in Interval(10, 20).facts(history)] == [10, 15, 20.9]


def test_fact_contains_the_times_and_sids_of_its_task():
    simulation = StateSimulation("pending")
    simulation.clock.advance(99.9999)
    (created, entered) = simulation.workspace.history.facts
    sids = simulation.task.channel_sid, simulation.workflow.sid
    now, queue_sid = simulation.task.created, simulation.queues["One"].sid
    assert created == (now, "tasks_created", now, now, *sids, None, None)
    assert entered == (now, "tasks_entered", now, now, *sids, queue_sid, None)
    simulation.do(assignments.cancel, simulation.task)
    canceled = simulation.workspace.history.facts[-1]
    assert canceled.at == simulation.clock.now()
    assert canceled[1:] == ("tasks_canceled", now, now, *sids, queue_sid, None)
    assert canceled.age == canceled.age_in_queue == 100


def test_fact_about_reservation_contains_worker_and_time_in_queue():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "Two"})
    )
    task = simulation.enqueue_task()
    simulation.clock.advance(12)
    dave = simulation.add_worker("Dave", "Two")
    moved, entered, reserved = list(simulation.workspace.history.facts)[-3:]
    assert (moved.kind, moved.queue_sid) == ("tasks_moved", simulation.queues["One"].sid)
    assert (moved.age, moved.age_in_queue) == (10, 10)
    assert (entered.queue_sid, entered.age, entered.age_in_queue) == (task.queue_sid, 10, 0)
    assert reserved == (
        *(simulation.clock.now(), "reservations_created", task.created, task.created + 10),
        *(task.channel_sid, simulation.workflow.sid, simulation.queues["Two"].sid, dave.sid),
    )
    assert (reserved.age, reserved.age_in_queue) == (12, 2)


def test_at_most_ten_thousand_tasks_are_compared_with_a_threshold():
    facts = [fact(at, Kind.TASK_CANCELED, age=9) for at in range(10_000)]
    facts += [fact(at, Kind.RESERVATION_ACCEPTED, age=1) for at in range(10_001)]
    facts += [fact(10_001, Kind.TASK_CANCELED, age=0)]
    sums = statistics.sum_tasks(facts, [5])
    assert sums["tasks_canceled"] == sums["reservations_accepted"] == 10_001
    assert sums["split_by_wait_time"] == {
        "5": {
            "above": {"reservations_accepted": 0, "tasks_canceled": 10_000},
            "below": {"reservations_accepted": 10_000, "tasks_canceled": 0},
        }
    }


def test_no_threshold_means_no_split():
    assert statistics.sum_tasks([fact(0)], [])["split_by_wait_time"] is None


def test_average_is_rounded_down():
    facts = [fact(at, Kind.RESERVATION_ACCEPTED, age) for at, age in enumerate((1, 1, 3, 2))]
    sums = statistics.sum_tasks(facts, [])
    assert sums["wait_duration_until_accepted"] == {"avg": 1, "min": 1, "max": 3, "total": 7}
    assert sums["avg_task_acceptance_time"] == 1


def test_longest_waiting_task_is_the_oldest_that_no_worker_has_accepted():
    simulation = Simulation()
    now = simulation.clock.now
    assert statistics.longest_waiting([], now()) == (0, None)
    first = simulation.create_task()
    simulation.clock.advance(5)
    second = simulation.create_task()
    simulation.clock.advance(2.9999)
    waiting = [second, first]
    assert statistics.longest_waiting(waiting, now()) == (8, first.sid)
    first.queue_entered = second.created + 1
    assert statistics.longest_waiting(waiting, now(), in_queue=True) == (3, second.sid)
    simulation.set_activity(simulation.alice, "Idle")
    assert first.status == "reserved"
    assert statistics.longest_waiting(waiting, now())[1] == first.sid
    assignments.accept(simulation.engine, simulation.workspace, first.reservations[0])
    assert statistics.longest_waiting(waiting, now()) == (3, second.sid)


def test_first_of_two_tasks_created_at_the_same_time_is_reported_as_waiting_longest():
    simulation = Simulation()
    first, second = simulation.create_task(), simulation.create_task()
    assert statistics.longest_waiting([second, first], simulation.clock.now()) == (0, first.sid)
    assert first.sid != second.sid


@pytest.mark.parametrize("count_closed", [False, True])
def test_tasks_are_counted_by_status_and_priority(count_closed):
    simulation = Simulation(default_capacity=9)
    simulation.workspace.multi_task_enabled = True
    simulation.set_activity(simulation.alice, "Idle")
    engine, workspace = simulation.engine, simulation.workspace
    assigned, wrapping, completed, canceled, _ = (
        simulation.create_task(priority=priority) for priority in (0, 1, 1, 2, 3)
    )
    for task in assigned, wrapping, completed:
        assignments.accept(engine, workspace, task.reservations[0])
    assignments.wrap(engine, workspace, wrapping)
    assignments.complete(engine, workspace, completed)
    assignments.cancel(engine, workspace, canceled)
    simulation.set_activity(simulation.alice, "Offline")
    simulation.create_task(priority=1)
    counted = statistics.count_tasks(
        workspace.tasks.values(), simulation.clock.now(), count_closed=count_closed
    )
    statuses = ["pending", "reserved", "assigned", "wrapping"]
    priorities = {"0": 1, "1": 2, "3": 1}
    if count_closed:
        statuses += ["completed", "canceled"]
        priorities |= {"1": 3, "2": 1}
    assert counted["tasks_by_status"] == dict.fromkeys(statuses, 1)
    assert counted["tasks_by_priority"] == priorities
    assert counted["total_tasks"] == len(statuses)


def test_activity_of_zero_seconds_is_not_counted():
    simulation = Simulation()
    for activity in "Idle", "Busy", "Idle", "Offline":
        simulation.set_activity(simulation.alice, activity)
    simulation.clock.advance(60)
    now = simulation.clock.now()
    durations = statistics.sum_activities(
        simulation.workspace, Interval(now - 60, now), now, {simulation.alice.sid}
    )
    offline, *others = durations
    assert offline == {
        "friendly_name": "Offline", "sid": simulation.alice.activity_sid,
        "avg": 60, "min": 60, "max": 60, "total": 60,
    }  # fmt: skip
    assert all(item["max"] == item["total"] == 0 for item in others)
    assert len(others) == len(simulation.workspace.activities) - 1


def test_deleted_activity_is_not_listed():
    simulation = Simulation()
    simulation.set_activity(simulation.alice, "Busy")
    simulation.clock.advance(10)
    simulation.set_activity(simulation.alice, "Offline")
    busy = simulation.activity_sid("Busy")
    del simulation.workspace.activities[busy]
    now = simulation.clock.now()
    durations = statistics.sum_activities(simulation.workspace, Interval(now - 99, now), now, None)
    assert busy not in {item["sid"] for item in durations}
