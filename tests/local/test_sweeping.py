import pytest
from chalice.app import CloudWatchEvent

from local import sweep_timer


class EnoughError(Exception):
    pass


def run(sweep, times):
    waited = []

    def sleep(seconds):
        if len(waited) == times:
            raise EnoughError
        waited.append(seconds)

    with pytest.raises(EnoughError):
        sweep_timer.sweep_for_ever(sweep, 5, sleep)
    return waited


def test_it_waits_before_every_sweep():
    sweeps = []

    waited = run(lambda event, context: sweeps.append((event, context)), times=3)

    assert waited == [5, 5, 5]
    assert len(sweeps) == 3


def test_a_sweep_that_fails_is_told_and_the_next_one_comes(capsys):
    def sweep(event, context):
        raise ValueError("TaskRouter is away")

    run(sweep, times=2)

    assert capsys.readouterr().out.count("The sweep failed: ValueError: TaskRouter is away") == 2


def test_the_event_is_one_that_chalice_understands_and_the_time_left_shrinks():
    event = CloudWatchEvent(sweep_timer.scheduled_event(), sweep_timer.Context())

    assert event.source == "aws.events"
    first = event.context.get_remaining_time_in_millis()
    assert 0 < event.context.get_remaining_time_in_millis() <= first <= 60_000
