"""The alarms and the dashboard read only metrics and log fields that exist."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

import app as functions
from app import app
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.instructions import Defer
from chalicelib.domain.rules import Rules, parse_rules
from infra.aws import capacity, template
from local import functions as local_functions
from tests.infra import templates

TEMPLATE = template.read()
ALARMS = templates.of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
FILTERS = templates.of_type(TEMPLATE, "AWS::Logs::MetricFilter")
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
STAGE = "dev"
SWEEP_GRACE_SECONDS = 10
FORM = "application/x-www-form-urlencoded"
NAMESPACE = f"taskrouter-callbacks/{STAGE}"

_OPERATORS = {"=": lambda a, b: a == b, ">=": lambda a, b: a is not None and a >= b}


def metric_of(alarm):
    """Return the namespace, name and dimensions of an alarm's metric."""
    dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
    return (
        templates.with_stage(alarm["Namespace"], STAGE),
        alarm["MetricName"],
        {name: templates.with_stage(value, STAGE) for name, value in dimensions.items()},
    )


METRICS = [(name, *metric_of(alarm)) for name, alarm in ALARMS.items()]


def matches(pattern, line):
    """Return whether a pattern such as { $.a = "x" && $.b >= 1 } matches a log line."""
    terms = re.fullmatch(r"\{ (.*) \}", pattern)[1].split(" && ")
    parsed = [re.fullmatch(r"\$\.(\w+) (=|>=) (.+)", term).groups() for term in terms]
    return all(
        field in line and _OPERATORS[operator](line[field], json.loads(value))
        for field, operator, value in parsed
    )


@pytest.mark.parametrize(("alarm", "namespace", "metric", "dimensions"), METRICS)
def test_metric_of_each_alarm_exists(alarm, namespace, metric, dimensions):
    match namespace:
        case "AWS/Lambda":
            functions = {
                f"taskrouter-callbacks-{STAGE}",
                *(f"taskrouter-callbacks-{STAGE}-{source.name}" for source in app.event_sources),
            }
            assert dimensions.keys() == {"FunctionName"}
            assert dimensions["FunctionName"] in functions
            assert metric in {"ConcurrentExecutions", "Errors", "Invocations", "Throttles"}
        case "AWS/ApiGateway":
            assert dimensions["ApiName"] == app.app_name
            assert dimensions["Stage"] == STAGE
            if "Resource" in dimensions:
                assert dimensions["Method"] in app.routes[dimensions["Resource"]]
            assert metric in {"4XXError", "5XXError", "Latency"}
        case "AWS/DynamoDB":
            table = {"Ref": "ReservationsTableName"}
            assert dimensions == {"TableName": table, "Operation": "UpdateItem"}
            assert metric == "ThrottledRequests"
        case _:
            assert namespace == NAMESPACE
            transformations = [t for f in FILTERS.values() for t in f["MetricTransformations"]]
            assert dimensions == {}
            assert (NAMESPACE, metric) in {
                (templates.with_stage(t["MetricNamespace"], STAGE), t["MetricName"])
                for t in transformations
            }


def test_request_with_an_invalid_signature_is_counted(api):
    api.post_callback(api.callback_parameters(), signature="0" * 28)
    api.post_callback(api.callback_parameters())

    pattern = FILTERS["InvalidSignatures"]["FilterPattern"]
    assert [matches(pattern, line) for line in api.lines()] == [True, False]


def test_unrecorded_reservation_is_counted(api, monkeypatch):
    def post_to_fallback():
        parameters = api.callback_parameters()
        path = "/assignment_callback/fallback"
        signature = api.sign(parameters, f"{api.service.settings.public_base_url}{path}")
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
        assert api.http.post(path, headers=headers, body=urlencode(parameters)).status_code == 200

    def fail(*_args, **_kwargs):
        raise StoreUnavailable("DynamoDB did not respond.")

    post_to_fallback()
    monkeypatch.setattr(api.service.store, "record_callback", fail)
    post_to_fallback()

    pattern = FILTERS["UnrecordedReservations"]["FilterPattern"]
    assert [matches(pattern, line) for line in api.lines()] == [False, True]


def test_failed_rules_are_counted(api):
    rule = {"name": "calls", "instruction": "dequeue", "from": {"ref": "task.to"}}
    vars(api.service)["rules"] = Rules(parse_rules({"rule": [rule]}), default=Defer())
    for attributes in ('{"to": "+15556667777"}', "{}"):
        api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    pattern = FILTERS["RulesFailed"]["FilterPattern"]
    (transformation,) = FILTERS["RulesFailed"]["MetricTransformations"]
    field = transformation["MetricValue"].removeprefix("$.")
    assert [matches(pattern, line) for line in api.lines()] == [False, True]
    assert api.lines()[1][field] == 1


def test_unreadable_callbacks_are_counted(api):
    rule = {"name": "blocked", "when": "task.blocked", "instruction": "reject"}
    vars(api.service)["rules"] = Rules(parse_rules({"rule": [rule]}), default=Defer())
    for attributes in ("not JSON", r'{"blocked":true,"x":"\ud800"}'):
        api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    pattern = FILTERS["UnreadableCallbacks"]["FilterPattern"]
    assert [matches(pattern, line) for line in api.lines()] == [True, False]


def test_sweep_lag_is_measured(api):
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    due_in_ms = (api.service.settings.reservation_timeout_seconds + SWEEP_GRACE_SECONDS) * 1000
    api.clock.now += due_in_ms + 600_000
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())
    # The first sweep recorded the final status, so no Reservation is due.
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())

    pattern = FILTERS["SweepsLag"]["FilterPattern"]
    (transformation,) = FILTERS["SweepsLag"]["MetricTransformations"]
    field = transformation["MetricValue"].removeprefix("$.")
    assert [line[field] for line in api.lines() if matches(pattern, line)] == [600_000, 0]


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_notifies_the_topic_and_is_documented(alarm):
    properties = ALARMS[alarm]
    assert properties["AlarmActions"] == [{"Ref": "Alarms"}]
    assert templates.with_stage(properties["AlarmName"], STAGE).endswith(f"-{STAGE}-{alarm}")
    assert f"See docs/operations.md, {alarm}." in " ".join(properties["AlarmDescription"].split())
    paragraphs = re.split(r"^### ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (paragraph,) = [text for text in paragraphs if text.startswith(f"{alarm}\n")]
    for part in ("**Meaning:**", "**Check:**", "**Action:**"):
        assert part in paragraph


def test_every_documented_alarm_exists():
    text = DOCS.read_text(encoding="utf-8")
    assert set(re.findall(r"^### ([A-Z]\w+)$", text, re.MULTILINE)) == ALARMS.keys()


NUMBERS = (1, 2, 3, 5, 10, 15, 20, 30, 60)
NAMES = ("one", "two", "three", "five", "ten", "fifteen", "twenty", "thirty", "sixty")
WORDS = dict(zip(NUMBERS, NAMES, strict=True))
SHARE = f"{capacity._ALARM_SHARE:.0%}"
LIMITS = {
    "CallbacksRefused": (0.5, "at least half of"),
    "CallbacksSlow": (3_000, "over 3 seconds"),
    "SweepBehind": (300_000, "over five minutes"),
    "ConcurrencyHigh": ({"Ref": "ConcurrencyThreshold"}, f"at least {SHARE} of"),
}
"""The thresholds that are not stated as counts, and their descriptions."""


def expected_phrases(name):
    """Return the phrases that state when an alarm is triggered."""
    alarm = ALARMS[name]
    periods, minutes = alarm["EvaluationPeriods"], alarm["Period"] // 60
    if alarm["ComparisonOperator"] == "LessThanThreshold":
        assert alarm.get("DatapointsToAlarm", periods) == periods
        return [f"not run for {WORDS[periods * minutes]} minutes"]
    threshold, limit = LIMITS.get(name, (alarm["Threshold"], None))
    assert alarm["Threshold"] == threshold
    assert alarm["ComparisonOperator"].startswith("GreaterThan")
    assert alarm["ComparisonOperator"].endswith("OrEqualToThreshold") or limit.startswith("over ")
    if periods == 1:
        unit = "minute" if minutes == 1 else "minutes"
        return [f"within {WORDS[minutes]} {unit}, ", limit or f"at least {WORDS[threshold]} "]
    assert minutes == 1
    assert limit or threshold == 1
    datapoints = WORDS[alarm["DatapointsToAlarm"]]
    return [f"in at least {datapoints} of the last {WORDS[periods]} minutes", limit or ""]


@pytest.mark.parametrize("alarm", ALARMS)
def test_description_and_documentation_of_an_alarm_state_its_condition(alarm):
    text = DOCS.read_text(encoding="utf-8")
    documented = text.split(f"### {alarm}\n")[1].split("**Check:**")[0]
    for description in (ALARMS[alarm]["AlarmDescription"], documented):
        normalized = " ".join(description.split()).lower()
        assert [phrase for phrase in expected_phrases(alarm) if phrase not in normalized] == []


def test_logs_expire_and_the_bucket_is_private_and_versioned():
    for group in templates.of_type(TEMPLATE, "AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    (bucket,) = templates.of_type(TEMPLATE, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.fixture(scope="module")
def dashboard():
    (dashboard,) = templates.of_type(TEMPLATE, "AWS::CloudWatch::Dashboard").values()
    return json.loads(templates.with_stage(dashboard["DashboardBody"], "${Stage}"))


def test_dashboard_shows_every_metric_with_an_alarm_except_invocations(dashboard):
    assert {widget["y"] for widget in dashboard["widgets"]} == {0, 6, 12}
    displayed = {metric[1:2] for metric in dashboard_metrics(dashboard)}
    assert {(name,) for _, _, name, _ in METRICS} - {("Invocations",)} <= displayed
    for namespace, _, *pairs in dashboard_metrics(dashboard):
        dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if namespace == "AWS/ApiGateway":
            assert dimensions["Method"] in app.routes[dimensions["Resource"]]


def dashboard_metrics(dashboard):
    """Yield the metrics of the widgets; "." repeats a value of the previous metric."""
    for widget in dashboard["widgets"]:
        previous = ()
        for metric in widget["properties"].get("metrics", []):
            parts = [part for part in metric if isinstance(part, str)]
            previous = tuple(previous[i] if part == "." else part for i, part in enumerate(parts))
            yield previous


def test_log_lines_contain_the_fields_in_dashboard_queries(api, dashboard):
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    api.post_callback(parameters, signature="0" * 28)
    event = {
        **{name: parameters[name] for name in ("AccountSid", "WorkspaceSid", "ReservationSid")},
        **{name: parameters[name] for name in ("TaskSid", "WorkerSid")},
        "EventType": "reservation.accepted",
        "TimestampMs": str(api.clock.now),
    }
    url = f"{api.service.settings.public_base_url}/event_callback"
    headers = {"Content-Type": FORM, "X-Twilio-Signature": api.sign(event, url)}
    api.http.post("/event_callback", headers=headers, body=urlencode(event))
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())
    logged = {field for line in api.lines() for field in line}

    queries = [widget["properties"].get("query", "") for widget in dashboard["widgets"]]
    queried = {
        name
        for query in queries
        for part in re.findall(r"(?:filter|and|by|fields) (@?\w+(?:, \w+)*)", query)
        for name in part.split(", ")
    }
    assert {"answer", "event_type", "oldest_due_ms"} <= queried
    assert queried <= logged | {"@timestamp"}
