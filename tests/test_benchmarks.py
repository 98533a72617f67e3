"""Tests of the benchmark harness. They set no upper limits for times, because machines differ."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks import (
    accepts,
    costs,
    footprint,
    http_load,
    inputs,
    lambda_functions,
    pages,
    polls,
    programs,
    refusals,
    report,
    stubs,
    sweeps,
    tables,
)
from benchmarks.metering import Usage
from benchmarks.programs import Program
from benchmarks.report import Figure
from local.supervisor import ROOT

linux = pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric requires Linux")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.build_runtime(tmp_path_factory.mktemp("runtime"))


def handler(folder: Path, source: str) -> Program:
    (folder / "handler.py").write_text(source)
    return Program("handler", "handler.handle", folder)


@linux
def test_starts_and_invocations_of_a_handler_are_measured(tmp_path: Path, runtime: Path) -> None:
    source = (
        "import boto3, time\n"
        "client = boto3.client('dynamodb')\n"
        "def handle(event, context):\n"
        "    client.put_item(TableName='t', Item={'a': {'S': event['body']}})\n"
        "    time.sleep(0.02)\n"
        "    return {'statusCode': 200}\n"
    )
    program = handler(tmp_path, source)
    with stubs.dynamodb(inputs.SECRETS) as url:
        environ = {"AWS_ENDPOINT_URL": url}
        warm = lambda_functions.time_invocations([program], runtime, environ, 3)[program]
        cold = lambda_functions.time_starts([program], runtime, environ, 2)[program]

    assert (len(warm), len(cold)) == (3, 2)
    for duration in (*warm, *cold):
        assert duration.wall > 0.02
        assert duration.cpu > 0
    assert min(start.memory_mb for start in cold) > 5


@linux
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import missing_module", "missing_module"),
        ("def handle(event, context):\n    raise ValueError('a mistake')", "a mistake"),
        ("import os\nos._exit(3)", "exited with code 3"),
    ],
)
def test_failure_of_a_handler_is_reported(
    tmp_path: Path, runtime: Path, source: str, message: str
) -> None:
    program = handler(tmp_path, source)
    with stubs.function(program, runtime, {}) as function:

        def invoke() -> None:
            function.await_request()
            function.invoke(inputs.callback_event())

        with pytest.raises(RuntimeError, match=message):
            invoke()


SITE_PACKAGES = Path(sysconfig.get_path("purelib"))


@pytest.fixture
def app() -> Program:
    """The app in this checkout, with the packages of this environment."""
    return Program("this app", "app.app", ROOT, inputs.lambda_environ())


@linux
def test_accept_sends_two_writes_and_one_request_to_taskrouter(app: Program) -> None:
    services = accepts.Services()
    with stubs.serve(services.respond) as url:
        environ = {"AWS_ENDPOINT_URL": url, "TWILIO_TASKROUTER_URL": url}
        with stubs.function(app, SITE_PACKAGES, environ) as function:
            function.await_request()
            services.requests.clear()
            function.invoke(inputs.accept_event())

    assert b'"statusCode": 200' in function.response
    assert services.requests == {"UpdateItem": 2, "TaskRouter": 1}


UPDATE = json.dumps({"Key": {}, "ExpressionAttributeValues": {":set_a": {"S": "b"}}}).encode()


def test_every_request_to_taskrouter_is_counted() -> None:
    services = accepts.Services()
    for method in ("POST", "GET"):
        status, body = services.respond(f"{method} /v1/Workspaces/WS0 HTTP/1.1", b"")
        assert (status, json.loads(body)["reservation_status"]) == (200, "accepted")
    assert services.count(invocations=1) == {"TaskRouter": 2}


@pytest.mark.parametrize("operation", ["PutItem", "GetItem", "TransactWriteItems"])
def test_request_with_an_unknown_operation_ends_the_measurement(operation: str) -> None:
    services = accepts.Services()
    assert services.respond(f"DynamoDB_20120810.{operation}", b"{}")[0] == 400
    with pytest.raises(RuntimeError, match=operation):
        services.count(invocations=1)


def test_requests_that_only_the_first_invocation_sends_are_not_counted() -> None:
    services = accepts.Services()
    services.respond("AmazonSSM.GetParameter", b"{}")
    for _ in range(4):
        services.respond("DynamoDB_20120810.UpdateItem", UPDATE)
    assert services.count(invocations=2) == {"UpdateItem": 2}


def test_stub_rejects_writes_whose_condition_fails() -> None:
    services = accepts.Services([{}, {"Item": inputs.RECORD}])
    responses = [services.respond("DynamoDB_20120810.UpdateItem", UPDATE) for _ in range(6)]
    assert [status for status, _ in responses] == [400, 400, 200] * 2
    assert "ConditionalCheckFailedException" in json.loads(responses[0][1])["__type"]
    assert json.loads(responses[1][1])["Item"] == inputs.RECORD


@linux
def test_sweep_is_measured_with_a_slow_taskrouter(app: Program) -> None:
    program = replace(app, handler="app.sweep")
    measured = sweeps.sweep(program, SITE_PACKAGES, due=20, latency_seconds=0.05)
    assert measured.seconds > 0.1
    assert measured.memory_mb > 5
    assert measured.checked == 20


@linux
def test_sweep_of_a_large_backlog_ends_after_the_maximum_number_of_checks(app: Program) -> None:
    program = replace(app, handler="app.sweep")
    assert sweeps.sweep(program, SITE_PACKAGES, due=3_000, max_checks=30).checked == 30


SWEEP_THAT_FAILS = """
import json, os, urllib.request
number = 0
def handle(event, context):
    global number
    number += 1
    if number in FAILURES:
        raise RuntimeError("The sweep failed: TaskRouterUnavailable (1).")
    if number > 1 + len(FAILURES):
        url = os.environ["TWILIO_TASKROUTER_URL"] + "/Tasks/WT/Reservations/WR"
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url).read()
    return {}
"""


@linux
@pytest.mark.parametrize("failures", [0, 1, 2])
def test_first_sweep_is_repeated_once_if_taskrouter_is_unavailable(
    tmp_path: Path, runtime: Path, failures: int
) -> None:
    source = SWEEP_THAT_FAILS.replace("FAILURES", str([*range(1, 1 + failures)]))
    program = handler(tmp_path, source)
    if failures == 2:
        with pytest.raises(RuntimeError, match="TaskRouterUnavailable"):
            sweeps.sweep(program, runtime, due=1)
    else:
        assert sweeps.sweep(program, runtime, due=1).checked == 1


@linux
def test_sweep_with_too_few_checks_is_not_measured(tmp_path: Path, runtime: Path) -> None:
    program = handler(tmp_path, "def handle(event, context):\n    return {}\n")
    with pytest.raises(RuntimeError, match="checked 0 of 1,000"):
        sweeps.sweep(program, runtime, due=1_000)


@linux
@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("event created", 2),
        ("callback", 1),
        ("accept", 2),
        ("event accepted", 1),
        ("event wrapup", 2),
        ("event completed", 1),
    ],
)
def test_cpu_time_of_each_request_is_measured(app: Program, name: str, writes: int) -> None:
    usage = Usage(Counter(update_item=writes))
    function = costs.measure_function(SITE_PACKAGES, app, name, usage, 1)
    assert min(function.cpu_ms, function.start_cpu_ms, function.memory_mb) > 0


@linux
def test_unexpected_number_of_writes_ends_the_measurement(app: Program) -> None:
    usage = Usage(Counter(update_item=1))
    with pytest.raises(RuntimeError, match="event wrapup: the function sent 2 writes instead of 1"):
        costs.measure_function(SITE_PACKAGES, app, "event wrapup", usage, 1)


@linux
def test_function_that_refuses_the_request_is_not_measured(app: Program) -> None:
    other_account = replace(app, environ=app.environ | {"TWILIO_ACCOUNT_SID": "AC" + "f" * 32})
    with pytest.raises(RuntimeError, match="callback: the function returned"):
        costs.measure_function(SITE_PACKAGES, other_account, "callback", Usage(), 1)


def test_cpu_time_of_an_accept_in_this_process_is_measured() -> None:
    assert accepts.time_own_ms(1) > 0


def test_lists_cost_the_same_in_a_larger_table_and_sweeps_are_measured() -> None:
    with tables.BenchmarkTables.create() as benchmark_tables:
        benchmark_tables.fill(1_000)
        lists = benchmark_tables.measure_lists()
        usage, requests = benchmark_tables.measure_sweep(8)
        benchmark_tables.fill(1_500)
        assert benchmark_tables.measure_lists() == lists

    # In addition to the checks, the sweep sends one request for TaskRouter's statistics and three
    # queries for the hours whose counts can still change.
    assert (requests, usage.requests["query"]) == (8 + 1, 3 + 3)
    assert all(lists[name].read_units > 0 for name in lists)


def test_statistics_cost_the_same_in_a_larger_table() -> None:
    with tables.BenchmarkTables.create() as benchmark_tables:
        benchmark_tables.fill(1_500)
        usages = benchmark_tables.measure_statistics()
        benchmark_tables.fill(2_500)
        assert benchmark_tables.measure_statistics() == usages

    swept, requested = usages.values()
    # Three queries read due Reservations, and three read the hours whose
    # counts can still change. One update fails, because the reconciliation is not due.
    assert swept.requests == {
        "query": 6,
        "get_item": 1,
        "batch_get_item": 1,
        "update_item": 2,
        "put_item": 1,
    }
    assert requested.requests == {"get_item": 1}
    assert requested.read_units <= 3


def test_pages_of_the_console_cost_the_same_in_a_larger_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "MAX_SWEEPS", 1)  # to save time
    measured = pages.measure_sizes((1_000, 2_000))

    usages = measured[1_000]
    assert measured[2_000] == usages
    assert usages["Inspect"].requests == usages["Overview"].requests == {"get_item": 1}
    assert usages["Inspect"].read_units == usages["Overview"].read_units == 1
    assert usages["Supervisor's inbox"].requests == {"query": 3, "batch_get_item": 4}
    assert usages["History"].read_units > 50
    header, _, *rows = pages.render(measured).splitlines()
    assert header.endswith("| requests with 2,000 records | read units with 2,000 records |")
    assert "| Inspect | `GET /reservations/{sid}` | 1 GetItem | 1 | 1 GetItem | 1 |" in rows
    assert len(rows) == len(pages.PAGES)


def test_tables_of_a_failed_measurement_are_deleted() -> None:
    def fail() -> None:
        with tables.BenchmarkTables.create() as benchmark_tables:
            benchmark_tables.fill(1)
            raise RuntimeError("The sweep failed.")

    with pytest.raises(RuntimeError, match="The sweep failed."):
        fail()
    with tables.BenchmarkTables.create() as benchmark_tables:
        assert benchmark_tables.measure_list("all").requests == {"query": 8}


def test_cost_of_listing_pending_reservations_has_a_maximum() -> None:
    usages = list[Usage]()
    with tables.BenchmarkTables.create() as benchmark_tables:
        benchmark_tables.fill(1_000)
        for number in (200, 999, 1_000, 1_300):
            benchmark_tables.fill_pending(number)
            usages.append(benchmark_tables.measure_list("status=pending"))

    few, fitting, too_many, many = usages
    assert few.read_units + 10 < fitting.read_units
    assert [usage.requests["query"] for usage in (few, fitting, too_many)] == [1, 1, 2]
    assert many == too_many


def test_dynamodb_usage_of_each_request_is_measured() -> None:
    with tables.BenchmarkTables.create() as benchmark_tables:
        measured = [*costs.measure_usage(benchmark_tables)]
    requests = Counter[str]()
    for _, usage, log_bytes, _ in measured:
        requests += usage.requests
        assert log_bytes > 100
    assert [name for name, *_ in measured][1:3] == ["callback", "accept"]
    assert requests == {"update_item": 9}
    # In footprint.py, the callback arrives before the `reservation.created` event, which then
    # changes three index entries. That order needs five more write units.
    units = footprint.measure(over_rest=True).units.total()
    assert sum(usage.write_units for _, usage, _, _ in measured) == units - 5


def test_event_form_has_a_type_and_a_worker_but_no_task_age() -> None:
    form = inputs.event_form("created")
    assert (form["EventType"], form["WorkerName"]) == ("reservation.created", "Alice")
    assert "TaskAge" not in form


REQUEST = costs.Request(
    name="callback",
    usage=Usage(Counter(update_item=1), read_units=2, write_units=4, item_bytes=1_000),
    log_bytes=700,
    response_bytes=500,
    function=costs.FunctionUsage(cpu_ms=2, start_cpu_ms=300, memory_mb=30),
)


def test_costs_are_calculated_from_measured_requests_and_prices() -> None:
    prices, assumed = costs.Prices(), costs.Assumptions()
    accept = replace(REQUEST, name="accept")
    assert REQUEST.billed_ms(1_769, assumed) == 2 + 5 + 3
    assert accept.billed_ms(1_769, assumed) == 2 + 5 + 100 + 3
    assert REQUEST.billed_ms(3_538, assumed) == 10
    calculated = costs.calculate([REQUEST, accept], 1_024, replace(prices, api_million=1), assumed)
    gb_seconds = sum(each.billed_ms(1_024, assumed) for each in (REQUEST, accept)) * 1_000
    assert calculated == pytest.approx(
        {
            "API Gateway": 2,
            "Lambda, requests": 0.40,
            "Lambda, duration": gb_seconds * 0.0000166667,
            "DynamoDB, writes": 8 * 0.625,
            "DynamoDB, reads": 4 * 0.125,
            "DynamoDB, storage": 0.45,
            "CloudWatch Logs": 2 * 1.0 * 0.5,
            "data transfer": 2 * 1.0 * 0.09,
        }
    )
    assert "| total | $" in costs.render([REQUEST, accept], prices, assumed)


@linux
def test_polls_by_an_agent_and_by_a_supervisor_are_measured(app: Program) -> None:
    measured = polls.measure(SITE_PACKAGES, app, agents=(10,), rounds=1)

    unchanged, changed, supervisor = measured
    assert unchanged.usage == changed.usage
    assert unchanged.usage.requests == {"query": 1, "batch_get_item": 1, "get_item": 1}
    assert unchanged.usage.read_units == 5.5
    assert supervisor.usage.requests == {"query": 3, "batch_get_item": 1}
    assert (unchanged.response_bytes, supervisor.response_bytes) == (0, 0)
    assert changed.response_bytes > 1_000


def test_costs_of_polls_are_proportional_to_the_number_of_agents() -> None:
    poll = replace(REQUEST, name="agent", usage=Usage(Counter(query=1), read_units=8))
    text = polls.render([poll], costs.Prices(), costs.Assumptions(), agents=(10, 100))

    assert (
        "| per month | 10 agents, every 3 s | 100 agents, every 3 s | 10 agents, every 15 s |"
        in text
    )
    assert "| polls per second | 3.3 | 33 | 0.67 | 6.7 |" in text
    assert "| million polls | 2.11 | 21.12 | 0.42 | 4.22 |" in text
    assert "| API Gateway | $7.39 | $73.92 | $1.48 | $14.78 |" in text
    assert "| DynamoDB, reads | $2.11 | $21.12 | $0.42 | $4.22 |" in text
    assert "DynamoDB, writes" not in text


def test_help_cites_the_source_of_every_price() -> None:
    help_text = CliRunner().invoke(costs.main, ["--help"]).output
    assert help_text.count("https://aws.amazon.com/") == 8
    for name in ("--api-million", "--lambda-gb-second", "--write-million", "--dynamodb-ms"):
        assert name in help_text


@linux
def test_refused_requests_are_compared_with_a_valid_callback(app: Program) -> None:
    figures = refusals.measure(SITE_PACKAGES, app, 1)
    assert {figure.other for figure in figures} == {"valid callback"}
    assert any("forged" in figure.name for figure in figures)


@linux
def test_http_load_is_compared_with_a_bare_server_and_the_cores_of_the_machine() -> None:
    figures = http_load.measure(5)
    assert {figure.other for figure in figures} == {"bare server", "cores of the machine"}
    assert len(figures) == 24
    cores = [figure for figure in figures if figure.other == "cores of the machine"]
    assert {figure.other_value for figure in cores} == {os.cpu_count()}
    assert all(figure.value > 0 for figure in figures if figure not in cores)


@linux
def test_cores_used_by_each_program_are_measured() -> None:
    # The new session gives the process its own process group. The CPU time of the tests' group
    # would fall whenever one of that group's processes ends.
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        before = http_load.cpu_seconds([busy.pid])
        started = time.process_time()
        while time.process_time() < started + 0.1 or http_load.cpu_ms(busy.pid) < 200:
            pass
        group, load_generator, machine = http_load.used_cores(before, [busy.pid], seconds=0.2)
    finally:
        busy.kill()
        busy.wait()
    assert min(load_generator, group + 0.1, machine + 0.1) >= 0.5


@pytest.mark.parametrize(
    ("value", "goal", "expected"),
    [
        (1.5, None, "| warm | 1.5 ms | bare | 2 ms | 0.75 |  |"),
        (1.8, 0.9, "| warm | 1.8 ms | bare | 2 ms | 0.90 | 0.9 |"),
        (1_234.0, 0.9, "| warm | 1,234 ms | bare | 2 ms | 617.00 | 0.9, missed |"),
    ],
)
def test_table_shows_the_ratio_and_whether_the_goal_is_met(
    value: float, goal: float | None, expected: str
) -> None:
    figure = Figure(name="warm", value=value, other="bare", other_value=2.0, unit="ms", goal=goal)
    assert report.to_row(figure) == expected


def test_section_prints_one_row_per_figure(capsys: pytest.CaptureFixture[str]) -> None:
    figure = Figure(name="warm", value=1, other="bare", other_value=2, unit="ms")
    assert report.print_section(lambda: [figure, figure])
    assert capsys.readouterr().out == f"{report.to_row(figure)}\n" * 2


def test_failed_measurement_prints_its_error_and_no_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> list[Figure]:
        raise RuntimeError("The invocation failed.")

    assert not report.print_section(fail)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "RuntimeError: The invocation failed." in printed.err


def test_failed_measurement_does_not_end_the_benchmarks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> list[str]:
        raise RuntimeError("The invocation failed.")

    figure = Figure(name="load", value=1, other="bare", other_value=2, unit="ms")
    with pytest.raises(click.ClickException, match="^1 of 3 measurements failed.$"):
        report.print_sections([lambda: [figure], fail, lambda: ["| limit |", "| sweep |"]])

    assert capsys.readouterr().out == (
        f"{report.HEADER}\n{report.to_row(figure)}\n\n| limit |\n\n| sweep |\n"
    )


def test_table_has_six_columns_and_the_machine_description_shows_the_cores() -> None:
    assert report.HEADER.splitlines()[1] == "| --- | --- | --- | --- | --- | --- |"
    assert "cores" in report.machine()
