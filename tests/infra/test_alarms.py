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
from chalicelib.domain.rules import Rules, read
from local import sweeping
from tests.infra import templates

TEMPLATE = templates.read("stage.yaml")
ALARMS = templates.of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
FILTERS = templates.of_type(TEMPLATE, "AWS::Logs::MetricFilter")
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
STAGE = "dev"
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
            assert metric in {"5XXError", "Latency"}
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
    vars(api.service)["rules"] = Rules(read({"rule": [rule]}), otherwise=Defer())
    for attributes in ('{"to": "+15556667777"}', "{}"):
        api.post_callback(api.callback_parameters(TaskAttributes=attributes))

    pattern = FILTERS["RulesFailed"]["FilterPattern"]
    (transformation,) = FILTERS["RulesFailed"]["MetricTransformations"]
    member = transformation["MetricValue"].removeprefix("$.")
    assert [matches(pattern, line) for line in api.lines()] == [False, True]
    assert api.lines()[1][member] == 1


def test_what_a_sweep_left_is_counted(api):
    api.post_callback(api.callback_parameters())
    api.clock.now += 3_600_000
    functions.sweep(sweeping.scheduled_event(), ShortOfTime())
    # Nothing of it is left once TaskRouter has told what became of it.
    functions.sweep(sweeping.scheduled_event(), sweeping.Context())

    pattern = FILTERS["SweepsLeft"]["FilterPattern"]
    (transformation,) = FILTERS["SweepsLeft"]["MetricTransformations"]
    member = transformation["MetricValue"].removeprefix("$.")
    assert [line[member] for line in api.lines() if matches(pattern, line)] == [1, 0]


class ShortOfTime(sweeping.Context):
    """A Lambda context whose function has to end in a second."""

    def get_remaining_time_in_millis(self):
        return 1_000


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


def test_the_dashboard_is_json_and_reads_the_same_metrics():
    (dashboard,) = templates.of_type(TEMPLATE, "AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Sub"])
    rows = {widget["y"] for widget in body["widgets"]}
    assert rows == {0, 6, 12}
    shown = json.dumps(body)
    for _, _, metric, _ in READ:
        if metric != "Invocations":
            assert f'"{metric}"' in shown
