"""Each alarm fires if its cause persists, in most cases even with little traffic.

Only alarms about lost Reservations fire after a single event.

The tests model how CloudWatch evaluates alarms: of the last EvaluationPeriods data points,
DatapointsToAlarm must breach the threshold. TreatMissingData applies to periods without data.
"""

import operator

import pytest

from infra.aws import capacity, template
from tests.infra import templates

ALARMS = templates.of_type(template.read(), "AWS::CloudWatch::Alarm")
MINUTES_PER_HOUR = 60

PARAMETERS = {str({"Ref": "ConcurrencyThreshold"}): capacity.alarm_threshold(10)}
"""Values of the parameters in thresholds, for a new account's 10 concurrent executions."""

_OPERATORS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
}


def fires(name, minutes):
    """Return whether an alarm fires, given its metric by minute (None: no data)."""
    alarm = ALARMS[name]
    periods = per_period(minutes, alarm)
    breaches = _OPERATORS[alarm["ComparisonOperator"]]
    threshold = PARAMETERS.get(str(alarm["Threshold"]), alarm["Threshold"])
    missing = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    breached = [missing if value is None else breaches(value, threshold) for value in periods]
    window = alarm["EvaluationPeriods"]
    required = alarm.get("DatapointsToAlarm", window)
    ends = range(window, len(breached) + 1)
    return any(sum(breached[end - window : end]) >= required for end in ends)


def per_period(minutes, alarm):
    """Aggregate the values of the minutes into the alarm's periods."""
    length = alarm["Period"] // 60
    aggregate = {"Sum": sum, "Minimum": min, "Maximum": max, "Average": average}[
        alarm.get("Statistic", "Maximum")
    ]
    groups = [minutes[start : start + length] for start in range(0, len(minutes), length)]
    values = [[value for value in group if value is not None] for group in groups]
    return [aggregate(group) if group else None for group in values]


def average(values):
    return sum(values) / len(values)


def every(count, value, *, otherwise=None, minutes=MINUTES_PER_HOUR):
    """Return a value per minute: *value* every *count* minutes, *otherwise* in between."""
    return [value if minute % count == 0 else otherwise for minute in range(minutes)]


NORMAL = {
    "CallbacksFail": every(1, 0),
    "CallbacksRefused": every(1, 0),
    "CallbacksSlow": every(1, 400),
    "FallbackFails": every(10, 0),
    "ApiFails": every(1, 0),
    "UnrecordedReservation": every(1, 0),
    "RulesFail": every(10, None),
    "CallbackUnreadable": every(1, 0),
    "ForgedSignatures": every(1, 0),
    "SweepFails": every(1, 0),
    "SweepSilent": every(1, 1),
    "SweepBehind": every(1, 45_000),
    "ApiThrottled": every(1, 0),
    "TableThrottled": every(1, 0),
    "ConcurrencyHigh": every(1, 3),
}

NO_DATA = every(1, None)


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_is_silent_in_normal_operation(alarm):
    assert not fires(alarm, NORMAL[alarm])


def test_normal_metrics_are_defined_for_every_alarm():
    assert NORMAL.keys() == ALARMS.keys()


@pytest.mark.parametrize("alarm", ALARMS)
def test_only_the_sweep_silent_alarm_fires_without_data(alarm):
    assert fires(alarm, NO_DATA) is (alarm == "SweepSilent")


@pytest.mark.parametrize(
    ("alarm", "minutes"),
    [
        ("CallbacksFail", every(1, 3)),
        ("CallbacksFail", every(20, 1)),  # three callbacks per hour, all failing
        # three callbacks per hour, all refused because of a rotated token
        ("CallbacksRefused", every(20, 1)),
        ("CallbacksSlow", every(10, 4_000)),
        ("FallbackFails", every(MINUTES_PER_HOUR, 1)),
        ("ApiFails", every(1, 1)),
        ("UnrecordedReservation", every(MINUTES_PER_HOUR, 1, otherwise=0)),
        ("RulesFail", every(20, 1)),  # three callbacks per hour, each with a failed rule
        ("RulesFail", every(1, 3)),
        ("CallbackUnreadable", every(20, 1, otherwise=0)),
        ("ForgedSignatures", every(1, 5)),
        ("SweepFails", every(1, 1)),
        # reconciliation fails every five or six minutes, and each retry succeeds
        ("SweepFails", every(5, 1, otherwise=0)),
        ("SweepFails", every(6, 1, otherwise=0)),
        ("SweepSilent", [*every(1, 1), *every(1, None, minutes=11)]),
        ("SweepBehind", every(1, 400_000)),
        ("SweepBehind", every(2, 400_000)),  # each sweep takes more than a minute
        ("ApiThrottled", every(5, 1, otherwise=0)),
        ("TableThrottled", every(5, 1)),
        ("ConcurrencyHigh", every(5, 8, otherwise=2)),
    ],
)
def test_alarm_fires_if_its_cause_persists(alarm, minutes):
    assert fires(alarm, minutes)


@pytest.mark.parametrize(
    ("alarm", "minutes"),
    [
        # a single failure, which the fallback handles
        ("CallbacksFail", every(MINUTES_PER_HOUR, 1, otherwise=0)),
        ("CallbacksRefused", every(MINUTES_PER_HOUR, 1)),  # a single forged request
        ("CallbacksRefused", every(30, 1)),  # two requests from strangers at night
        ("CallbacksRefused", [1, 1, *every(1, None)]),
        ("RulesFail", every(MINUTES_PER_HOUR, 1)),  # a caller's attributes lack a value
        ("RulesFail", every(30, 2)),
        ("CallbackUnreadable", every(MINUTES_PER_HOUR, 1, otherwise=0)),
        ("ApiThrottled", every(10, 9, otherwise=0)),  # bursts that anyone can cause
        ("TableThrottled", every(10, 3)),  # throttled writes are retried
        ("ConcurrencyHigh", every(10, 10, otherwise=1)),
        ("ApiFails", every(2, 1)),
        ("CallbacksRefused", every(1, 0.1)),  # a few forged requests among many valid requests
        ("CallbacksSlow", every(MINUTES_PER_HOUR, 4_500, otherwise=300)),
        ("ForgedSignatures", every(10, 5)),
        ("SweepFails", every(MINUTES_PER_HOUR, 1, otherwise=0)),  # the next sweep recovers
        (
            "SweepBehind",
            every(MINUTES_PER_HOUR, 900_000, otherwise=0),
        ),  # the first sweep after an outage
    ],
)
def test_transient_or_rare_problem_triggers_no_alarm(alarm, minutes):
    assert not fires(alarm, minutes)


SINGLE_EVENT_ALARMS = {
    # Each request that triggers one of these alarms leaves a Reservation without an instruction or
    # a record. UnrecordedReservation counts only signed requests.
    "FallbackFails",
    "UnrecordedReservation",
}

ABSENCE_ALARMS = {"SweepSilent"}
"""Alarms that are triggered by the absence of events."""


@pytest.mark.parametrize("alarm", sorted(ALARMS.keys() - ABSENCE_ALARMS))
def test_one_event_at_night_triggers_only_alarms_about_lost_reservations(alarm):
    one_event = [{"CallbacksSlow": 9_000, "SweepBehind": 900_000}.get(alarm, 1), *NO_DATA]

    assert fires(alarm, one_event) is (alarm in SINGLE_EVENT_ALARMS)


@pytest.mark.parametrize(
    "alarm", ["CallbacksRefused", "ForgedSignatures", "ApiThrottled", "RulesFail"]
)
def test_two_events_within_half_an_hour_do_not_trigger_the_alarm(alarm):
    for gap in (0, 1, 5, 29):
        assert not fires(alarm, [*every(1, None), 1, *[None] * gap, 1, *every(1, None)])
