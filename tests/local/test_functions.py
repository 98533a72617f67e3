import pytest
from chalice.app import CloudWatchEvent

from chalicelib.domain.errors import SweepFailed
from local import functions


class StopSweepingError(Exception):
    pass


def run_sweeps(sweep, times):
    """Run the given number of sweeps and return the seconds waited before each sweep."""
    waits = []

    def sleep(seconds):
        if len(waits) == times:
            raise StopSweepingError
        waits.append(seconds)

    with pytest.raises(StopSweepingError):
        functions.sweep_periodically(sweep, 5, sleep)
    return waits


def test_timer_waits_before_every_sweep():
    sweeps = []

    waits = run_sweeps(lambda event, context: sweeps.append((event, context)), times=3)

    assert waits == [5, 5, 5]
    assert len(sweeps) == 3


def test_failed_sweep_is_reported_and_the_next_sweep_runs(capsys):
    def sweep(event, context):
        raise ValueError("TaskRouter is unreachable")

    run_sweeps(sweep, times=2)

    message = "The sweep failed: ValueError: TaskRouter is unreachable"
    assert capsys.readouterr().out.count(message) == 2


def test_failed_step_of_a_sweep_is_printed_on_one_line(capsys):
    def sweep(event, context):
        raise SweepFailed("The sweep failed: StoreUnavailable (2). DynamoDB is down.")

    run_sweeps(sweep, times=1)

    assert capsys.readouterr().out == (
        "The sweep failed: StoreUnavailable (2). DynamoDB is down.\n"
    )


def test_scheduled_event_and_lambda_context_are_accepted_by_chalice():
    event = CloudWatchEvent(functions.scheduled_event(), functions.LambdaContext())

    assert event.source == "aws.events"
    first = event.context.get_remaining_time_in_millis()
    assert 0 < event.context.get_remaining_time_in_millis() <= first <= 60_000
