"""The harness of the benchmarks. The results depend on the machine, so no test checks them."""

import sys
from pathlib import Path

import pytest

from benchmarks import http_load, inputs, lambda_functions, programs, refusals, report, stubs
from benchmarks.programs import Program
from benchmarks.report import Figure

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
            function.invoke(inputs.event())

        with pytest.raises(RuntimeError, match=message):
            invoke()


def test_refused_requests_are_compared_with_a_valid_callback() -> None:
    figures = refusals.measure(1)
    assert {figure.other for figure in figures} == {"valid callback"}
    assert any("forged" in figure.name for figure in figures)


@linux
def test_load_over_http_is_compared_with_a_bare_server_and_names_the_cpu_time() -> None:
    figures = http_load.measure(5)
    assert {figure.other for figure in figures} == {"bare server", "local DynamoDB"}
    assert len(figures) == 15
    assert all(figure.value > 0 for figure in figures if figure.other == "bare server")


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
    lines = report.render([figure]).splitlines()
    assert lines[2] == expected
    assert "cores" in lines[-1]
