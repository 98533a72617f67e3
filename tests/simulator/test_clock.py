"""The clock fires due timers in order and releases canceled timers."""

import weakref

import pytest

from taskrouter_simulator.clock import Clock, ClockState


class Target:
    def callback(self) -> None:
        pass


def test_timers_fire_in_order_of_due_time_then_creation():
    clock, fired = Clock(lambda: 0.0), []
    for name, fire_time in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("never", 4.0)):
        clock.call_at(fire_time, lambda name=name: fired.append((name, clock.now())))
    clock.advance(3)
    assert fired == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert clock.now() == 3.0


def test_canceled_timers_are_released_early():
    clock, targets, kept = Clock(lambda: 0.0), [], Target()
    for _ in range(5000):
        target = Target()
        targets.append(weakref.ref(target))
        clock.call_at(86_400.0, target.callback).cancel()
    clock.call_at(1.0, kept.callback)
    assert sum(target() is not None for target in targets) <= 1000
    assert clock.next_due() == 1.0


class Loop:
    """An event loop that records the delays passed to `call_later`."""

    def __init__(self):
        self.handles = []

    def call_later(self, delay, action):
        handle = Handle(delay, action)
        self.handles.append(handle)
        return handle

    def delays(self):
        return [handle.delay for handle in self.handles if not handle.is_canceled]


class Handle:
    def __init__(self, delay, action):
        self.delay, self.action, self.is_canceled = delay, action, False

    def cancel(self):
        self.is_canceled = True


def test_clock_schedules_wakeup_for_next_timer_only():
    moment, fired, loop = [10.0], [], Loop()
    clock = Clock(lambda: moment[0])
    clock.call_at(15.0, lambda: fired.append(15))
    clock.attach(loop)
    assert loop.delays() == [5.0]
    timer = clock.call_at(12.0, lambda: fired.append(12))
    assert loop.delays() == [2.0]
    timer.cancel()
    moment[0] = 14.0
    clock.run_due()
    assert (loop.delays(), fired) == ([1.0], [])
    moment[0] = 16.0
    clock.call_at(15.5, lambda: fired.append(15.5))
    assert loop.delays() == [0.0]
    clock.run_due()
    assert fired == [15, 15.5]
    clock.call_at(20.0, lambda: None)
    count = len(loop.handles)
    clock.attach(None)
    clock.call_at(17.0, lambda: None)
    assert len(loop.handles) == count


def test_frozen_clock_wakes_only_for_timers_that_are_due():
    loop = Loop()
    clock = Clock(lambda: 10.0, frozen=True)
    clock.attach(loop)
    clock.call_at(10.5, lambda: None)
    assert loop.delays() == []
    clock.call_at(10.0, lambda: None)
    assert loop.delays() == [0.0]
    clock.call_at(9.0, lambda: None)
    assert loop.delays() == [0.0]


def test_clock_schedules_wakeup_even_if_an_action_fails():
    loop, clock = Loop(), Clock(lambda: 10.0)
    clock.attach(loop)

    def fail():
        raise ZeroDivisionError

    clock.call_at(10.0, fail)
    clock.call_at(13.0, lambda: None)
    with pytest.raises(ZeroDivisionError):
        clock.run_due()
    assert loop.delays() == [3.0]


def test_jump_never_moves_time_backward():
    clock = Clock(lambda: 10.0)
    clock.jump(15.0)
    clock.jump(12.0)
    assert clock.now() == 15.0
    clock.advance(2)
    assert clock.now() == 17.0


def test_timers_run_at_their_due_time_while_clock_advances():
    clock, fired = Clock(lambda: 10.0), []
    for when in (9.0, 10.0, 12.0, 12.5):
        clock.call_at(when, lambda: fired.append(clock.now()))
    clock.call_at(11.0, lambda: clock.call_at(11.5, lambda: fired.append(clock.now())))
    clock.advance(2)
    assert fired == [10.0, 10.0, 11.5, 12.0]
    assert clock.next_due() == 12.5
    clock.clear()
    assert clock.next_due() is None


def test_canceled_timers_are_purged_when_1000_timers_exist():
    clock = Clock(lambda: 0.0)
    for _ in range(999):
        clock.call_at(5.0, lambda: None).cancel()
    clock.call_at(5.0, lambda: None)
    assert len(clock._timers) == 1000
    clock.call_at(5.0, lambda: None)
    assert len(clock._timers) == 2
    for _ in range(998):
        clock.call_at(5.0, lambda: None)
    clock.call_at(1.0, lambda: None)  # no timer is canceled, so the limit doubles
    assert (len(clock._timers), clock._purge_at, clock.next_due()) == (1001, 2000, 1.0)


@pytest.mark.parametrize("frozen", [False, True])
def test_restored_clock_continues_at_the_sum_of_base_and_offset(frozen):
    clock = Clock(lambda: 100.0, frozen=frozen)
    clock.call_at(200.0, lambda: None)
    clock.restore(ClockState(5000.0, 3.0))
    assert clock.now() == 5003.0
    assert clock.pending() == []
    clock.jump(5010.0)
    assert clock.now() == 5010.0
    assert clock.state() == (ClockState(5000.0, 10.0) if frozen else ClockState(100.0, 4910.0))


def test_restored_frozen_clock_shows_exactly_the_saved_time():
    first = Clock(lambda: 0.1, frozen=True)
    first.jump(0.3)
    second = Clock(lambda: 1_700_000_000.7, frozen=True)
    second.restore(first.state())
    assert second.now() == first.now()


@pytest.mark.parametrize("frozen", [False, True])
def test_reset_clock_returns_to_the_time_of_its_source(frozen):
    moment = [0.1]
    clock = Clock(lambda: moment[0], frozen=frozen)
    clock.restore(ClockState(5000.0, 3.0))
    clock.jump(6000.0)
    clock.call_at(7000.0, lambda: None)
    moment[0] = 0.3
    clock.reset()
    assert clock.now() == 0.3
    assert clock.pending() == []


def test_pending_timers_are_in_the_order_in_which_they_run():
    clock = Clock(lambda: 0.0)
    timers = [clock.call_at(when, lambda: None) for when in (3.0, 1.0, 2.0, 1.0)]
    timers[2].cancel()
    assert clock.pending() == [timers[1], timers[3], timers[0]]
