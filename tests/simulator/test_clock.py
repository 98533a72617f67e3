"""The clock: firing and releasing timers."""

import weakref

from taskrouter_simulator.clock import Clock


class Thing:
    def act(self) -> None:
        pass


def test_timers_fire_by_time_then_in_order_of_creation():
    clock, fired = Clock(lambda: 0.0), []
    for name, when in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("never", 4.0)):
        clock.call_at(when, lambda name=name: fired.append((name, clock.now())))
    clock.advance(3)
    assert fired == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert clock.now() == 3.0


def test_canceled_timers_are_released_early():
    clock, things, kept = Clock(lambda: 0.0), [], Thing()
    for _ in range(5000):
        thing = Thing()
        things.append(weakref.ref(thing))
        clock.call_at(86_400.0, thing.act).cancel()
    clock.call_at(1.0, kept.act)
    assert sum(thing() is not None for thing in things) <= 1000
    assert clock.next_due() == 1.0
