"""The clock fires due timers in order and releases canceled timers."""

import weakref

from taskrouter_simulator.clock import Clock


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
