"""Each alarm fires when what it is for happens, at night too, and is silent when all is well.

CloudWatch decides by the last EvaluationPeriods data points: it fires where DatapointsToAlarm of
them breach, and a period without data counts as TreatMissingData says.
"""

import operator

import pytest

from tests.infra import templates

ALARMS = templates.of_type(templates.read("stage.yaml"), "AWS::CloudWatch::Alarm")
HOUR = 60

_COMPARES = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
}


def fires(name, minutes):
    """Whether an alarm fires at any time, given what is measured each minute; None is nothing."""
    alarm = ALARMS[name]
    periods = per_period(minutes, alarm)
    breaches = _COMPARES[alarm["ComparisonOperator"]]
    missing = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    breached = [missing if one is None else breaches(one, alarm["Threshold"]) for one in periods]
    window = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", window)
    ends = range(window, len(breached) + 1)
    return any(sum(breached[end - window : end]) >= needed for end in ends)


def per_period(minutes, alarm):
    """What CloudWatch makes of it; the worst of what its clock may cut it into."""
    length = alarm["Period"] // 60
    aggregate = {"Sum": sum, "Minimum": min, "Maximum": max, "Average": average}[
        alarm.get("Statistic", "Maximum")
    ]
    groups = [minutes[at : at + length] for at in range(0, len(minutes), length)]
    known = [[one for one in group if one is not None] for group in groups]
    return [aggregate(group) if group else None for group in known]


def average(values):
    return sum(values) / len(values)


def every(count, value, *, otherwise=None, minutes=HOUR):
    return [value if minute % count == 0 else otherwise for minute in range(minutes)]


WELL = {
    "CallbacksFail": every(1, 0),
    "CallbacksRefused": every(1, 0),
    "CallbacksSlow": every(1, 400),
    "FallbackFails": every(10, 0),
    "ApiFails": every(1, 0),
    "UnrecordedReservation": every(1, 0),
    "RulesFail": every(10, None),
    "ForgedSignatures": every(1, 0),
    "SweepFails": every(1, 0),
    "SweepSilent": every(1, 1),
    "SweepBehind": every(1, 45_000),
    "ApiThrottled": every(1, 0),
    "TableThrottled": every(1, 0),
}

QUIET = every(1, None)


@pytest.mark.parametrize("alarm", ALARMS)
def test_no_alarm_where_all_is_well(alarm):
    assert not fires(alarm, WELL[alarm])


def test_each_alarm_is_tried_here():
    assert WELL.keys() == ALARMS.keys()


@pytest.mark.parametrize("alarm", ALARMS)
def test_no_alarm_in_a_night_without_calls_but_that_of_a_sweep_that_does_not_run(alarm):
    assert fires(alarm, QUIET) is (alarm == "SweepSilent")


@pytest.mark.parametrize(
    ("alarm", "measured"),
    [
        ("CallbacksFail", every(1, 3)),
        ("CallbacksFail", every(20, 1)),  # three callbacks an hour, and none is served
        ("CallbacksRefused", every(20, 1)),  # the same, with a token that was rotated
        ("CallbacksSlow", every(10, 4_000)),
        ("FallbackFails", every(HOUR, 1)),
        ("ApiFails", every(1, 1)),
        ("UnrecordedReservation", every(HOUR, 1, otherwise=0)),
        ("RulesFail", every(HOUR, 1)),
        ("ForgedSignatures", every(1, 5)),
        ("SweepFails", every(1, 1)),
        ("SweepFails", every(5, 1, otherwise=0)),  # reconciling only
        ("SweepFails", every(6, 1, otherwise=0)),
        ("SweepSilent", [*every(1, 1), *every(1, None, minutes=11)]),
        ("SweepBehind", every(1, 400_000)),
        ("SweepBehind", every(2, 400_000)),  # sweeps that need more than their minute
        ("ApiThrottled", every(HOUR, 1, otherwise=0)),
        ("TableThrottled", every(HOUR, 1)),
    ],
)
def test_what_an_alarm_is_for_makes_it_fire(alarm, measured):
    assert fires(alarm, measured)


@pytest.mark.parametrize(
    ("alarm", "measured"),
    [
        ("CallbacksFail", every(HOUR, 1, otherwise=0)),  # the fallback has served it
        ("CallbacksRefused", every(HOUR, 1)),  # somebody has tried, once
        ("CallbacksRefused", every(1, 0.1)),  # forged ones among many that hold
        ("CallbacksSlow", every(HOUR, 4_500, otherwise=300)),
        ("ForgedSignatures", every(10, 5)),
        ("SweepFails", every(HOUR, 1, otherwise=0)),  # the next one makes up for it
        ("SweepBehind", every(HOUR, 900_000, otherwise=0)),  # the first after a stop
    ],
)
def test_what_passes_by_itself_wakes_nobody(alarm, measured):
    assert not fires(alarm, measured)
