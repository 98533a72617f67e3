"""An alarm that reads a metric nobody emits is silent for ever, so each is traced to its source."""

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
from local import functions as local_functions
from tests.infra import templates

TEMPLATE = templates.read("stage.yaml")
ALARMS = templates.of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
FILTERS = templates.of_type(TEMPLATE, "AWS::Logs::MetricFilter")
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
STAGE = "dev"
SWEEP_GRACE_SECONDS = 10
FORM = "application/x-www-form-urlencoded"
OURS = f"taskrouter-callbacks/{STAGE}"

_OPERATORS = {"=": lambda a, b: a == b, ">=": lambda a, b: a is not None and a >= b}


def metric_of(alarm):
    """What an alarm reads: (namespace, name, dimensions)."""
    dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
    return (
        templates.with_stage(alarm["Namespace"], STAGE),
        alarm["MetricName"],
        {name: templates.with_stage(value, STAGE) for name, value in dimensions.items()},
    )


READ = [(name, *metric_of(alarm)) for name, alarm in ALARMS.items()]


def matches(pattern, line):
    """Whether CloudWatch's filter pattern { $.a = "x" && $.b >= 1 } selects a line."""
    terms = re.fullmatch(r"\{ (.*) \}", pattern)[1].split(" && ")
    parsed = [re.fullmatch(r"\$\.(\w+) (=|>=) (.+)", term).groups() for term in terms]
    return all(
        member in line and _OPERATORS[operator](line[member], json.loads(value))
        for member, operator, value in parsed
    )


@pytest.mark.parametrize(("alarm", "namespace", "metric", "dimensions"), READ)
def test_what_an_alarm_reads_is_emitted(alarm, namespace, metric, dimensions):
    match namespace:
        case "AWS/Lambda":
            functions = {
                f"taskrouter-callbacks-{STAGE}",
                *(f"taskrouter-callbacks-{STAGE}-{handler}" for handler in _schedules()),
            }
            assert dimensions.keys() == {"FunctionName"}
            assert dimensions["FunctionName"] in functions
            assert metric in {"Errors", "Invocations", "Throttles"}
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
            assert namespace == OURS
            made = [t for f in FILTERS.values() for t in f["MetricTransformations"]]
            assert dimensions == {}
            assert (OURS, metric) in {
                (templates.with_stage(t["MetricNamespace"], STAGE), t["MetricName"]) for t in made
            }


def _schedules():
    return [source.name for source in app.event_sources]


def test_a_refused_signature_is_counted(api):
    api.post_callback(api.callback_parameters(), signature="0" * 28)
    api.post_callback(api.callback_parameters())

    pattern = FILTERS["InvalidSignatures"]["FilterPattern"]
    assert [matches(pattern, line) for line in api.lines()] == [True, False]


def test_an_unrecorded_reservation_is_counted(api, monkeypatch):
    def fall_back():
        parameters = api.callback_parameters()
        path = "/assignment_callback/fallback"
        signature = api.sign(parameters, f"{api.service.settings.public_base_url}{path}")
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
        assert api.http.post(path, headers=headers, body=urlencode(parameters)).status_code == 200

    def dead(*_args, **_kwargs):
        raise StoreUnavailable("DynamoDB does not answer.")

    fall_back()
    monkeypatch.setattr(api.service.store, "record_callback", dead)
    fall_back()

    pattern = FILTERS["UnrecordedReservations"]["FilterPattern"]
    assert [matches(pattern, line) for line in api.lines()] == [False, True]


def test_rules_that_failed_are_counted(api):
    rule = {"name": "one", "instruction": "dequeue", "from": {"ref": "task.to"}}
    vars(api.service)["rules"] = Rules(parse_rules({"rule": [rule]}), default=Defer())
    for attributes in ('{"to": "+15556667777"}', "{}"):
        api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    pattern = FILTERS["RulesFailed"]["FilterPattern"]
    (transformation,) = FILTERS["RulesFailed"]["MetricTransformations"]
    member = transformation["MetricValue"].removeprefix("$.")
    assert [matches(pattern, line) for line in api.lines()] == [False, True]
    assert api.lines()[1][member] == 1


def test_how_late_a_sweep_is_is_counted(api):
    parameters = api.callback_parameters()
    api.post_callback(parameters)
    expires_in = (api.service.settings.reservation_timeout_seconds + SWEEP_GRACE_SECONDS) * 1000
    api.clock.now += expires_in + 600_000
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())
    # Once TaskRouter has told what became of it, nothing is due.
    functions.sweep(local_functions.scheduled_event(), local_functions.LambdaContext())

    pattern = FILTERS["SweepsLag"]["FilterPattern"]
    (transformation,) = FILTERS["SweepsLag"]["MetricTransformations"]
    member = transformation["MetricValue"].removeprefix("$.")
    assert [line[member] for line in api.lines() if matches(pattern, line)] == [600_000, 0]


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_tells_somebody_and_has_its_paragraph(alarm):
    properties = ALARMS[alarm]
    assert properties["AlarmActions"] == [{"Ref": "Alarms"}]
    assert templates.with_stage(properties["AlarmName"], STAGE).endswith(f"-{STAGE}-{alarm}")
    assert f"See docs/operations.md, {alarm}." in " ".join(properties["AlarmDescription"].split())
    paragraphs = re.split(r"^### ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (paragraph,) = [text for text in paragraphs if text.startswith(f"{alarm}\n")]
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in paragraph


def test_no_paragraph_is_left_of_an_alarm_that_is_gone():
    text = DOCS.read_text(encoding="utf-8")
    assert set(re.findall(r"^### ([A-Z]\w+)$", text, re.MULTILINE)) == ALARMS.keys()


def test_logs_end_and_the_bucket_is_closed():
    for group in templates.of_type(TEMPLATE, "AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    (bucket,) = templates.of_type(TEMPLATE, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.fixture(scope="module")
def dashboard():
    (dashboard,) = templates.of_type(TEMPLATE, "AWS::CloudWatch::Dashboard").values()
    return json.loads(dashboard["DashboardBody"]["Sub"])


def test_the_dashboard_shows_what_the_alarms_read(dashboard):
    assert {widget["y"] for widget in dashboard["widgets"]} == {0, 6, 12}
    shown = {metric[1:2] for metric in written_out(dashboard)}
    assert {(name,) for _, _, name, _ in READ} - {("Invocations",)} <= shown
    for namespace, _, *pairs in written_out(dashboard):
        dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if namespace == "AWS/ApiGateway":
            assert dimensions["Method"] in app.routes[dimensions["Resource"]]


def written_out(dashboard):
    """Each metric of the widgets; CloudWatch takes "." for what the one before it has there."""
    for widget in dashboard["widgets"]:
        before = ()
        for metric in widget["properties"].get("metrics", []):
            said = [one for one in metric if isinstance(one, str)]
            before = tuple(before[at] if one == "." else one for at, one in enumerate(said))
            yield before


def test_what_the_dashboards_queries_ask_for_is_in_the_lines(api, dashboard):
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
    written = {member for line in api.lines() for member in line}

    queries = [one["properties"].get("query", "") for one in dashboard["widgets"]]
    asked = {
        name
        for query in queries
        for part in re.findall(r"(?:filter|and|by|fields) (@?\w+(?:, \w+)*)", query)
        for name in part.split(", ")
    }
    assert {"answer", "event_type", "oldest_due_ms"} <= asked
    assert asked <= written | {"@timestamp"}
