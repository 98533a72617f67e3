"""Measures how much time 100 rules add to a callback, and the cold start time."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

import click
from chalice.test import Client
from twilio.request_validator import RequestValidator

from app import app
from chalicelib import config, observability, runtime
from chalicelib.adapters import rules_file
from chalicelib.runtime import SystemClock

RULES_LIMIT_MS = 1.0
"""Maximum additional time per callback with `MANY_RULES` rules instead of one."""
MANY_RULES = 100

COLD_START_LIMIT = 1.5
"""Maximum cold start time, relative to that of a plain Chalice app with boto3."""

_ROOT = Path(__file__).resolve().parent.parent

PATH = "/assignment_callback"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "for the benchmark only",
    "TWILIO_API_KEY_SID": "SK" + "b" * 32,
    "TWILIO_API_KEY_SECRET": "for the benchmark only",
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
    "RESERVATIONS_TABLE": "reservations",
    "STATE_TABLE": "state",
    "PUBLIC_BASE_URL": "https://example.com/api",
}
CALLBACK = {
    "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"],
    "WorkspaceSid": ENVIRON["TWILIO_WORKSPACE_SID"],
    "WorkflowSid": ENVIRON["TWILIO_WORKFLOW_SID"],
    "TaskQueueSid": "WQ" + "0" * 32,
    "WorkerSid": "WK" + "0" * 32,
    "TaskSid": "WT" + "0" * 32,
    "ReservationSid": "WR" + "0" * 32,
    "TaskAge": "12",
    "TaskPriority": "3",
    "WorkerAttributes": '{"contact_uri": "client:alice", "skills": ["es", "billing", "gold"]}',
    "TaskAttributes": '{"call_sid": "CA00", "from": "+15550001111", "to": "+15550002222", '
    '"language": "es", "product": "p7", "direction": "inbound", "notes": "' + "x" * 400 + '"}',
}
# Three alternating conditions, none of which matches the callback.
_CONDITIONS = (
    "task.language == 'l{n}' && contains(worker.skills || `[]`, 's{n}')",
    "task.product == 'x{n}' || priority > `{n}00`",
    "!(task.call_sid) && age >= `{n}` && starts_with(worker.contact_uri || '', 'sip:')",
)
_LAST_RULE = """
[[rule]]
name = "last rule"
instruction = "dequeue"
from = {ref = "task.to"}
to = {ref = "worker.contact_uri"}
"""


class InstantDynamoDb:
    """A DynamoDB client without latency, so that only the app's own time is measured."""

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Return a response with the only attribute that the app reads."""
        values = request["ExpressionAttributeValues"]
        (answer,) = (
            value for value in values.values() if "M" in value and "instruction" in value["M"]
        )
        return {"Attributes": {"answer": answer}}


def measure_rules(samples: int) -> bool:
    """Time callbacks with one rule and with many rules, and print the results.

    Args:
        samples: number of callbacks per rule set.

    Returns:
        Whether the additional time is below the limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        services = {count: _make_service(count, Path(folder)) for count in (1, MANY_RULES)}
        started = time.perf_counter()
        rules_file.read(services[MANY_RULES].settings.rules_file)
        load_ms = _ms_since(started)
        times_ms = _time_callbacks(services, samples)
    one_ms, many_ms = (median(times_ms[count]) for count in (1, MANY_RULES))
    click.echo(f"Time to answer a callback without DynamoDB's latency, {samples} samples each:")
    for count, times in times_ms.items():
        p50, p95 = median(times), quantiles(times, n=20)[-1]
        click.echo(f"  {count:3} rule(s)   p50 {p50:6.3f} ms   p95 {p95:6.3f} ms")
    click.echo(
        f"  {MANY_RULES} rules take {many_ms - one_ms:.3f} ms longer than one rule "
        f"(limit {RULES_LIMIT_MS} ms), {many_ms / one_ms:.2f} times as long"
    )
    click.echo(f"  loading {MANY_RULES} rules, once per execution environment: {load_ms:.1f} ms")
    return many_ms - one_ms < RULES_LIMIT_MS


def _make_service(count: int, folder: Path) -> runtime.Runtime:
    file = folder / f"{count}.toml"
    file.write_text(
        "".join(
            f'[[rule]]\nname = "rule {n}"\ninstruction = "accept"\n'
            f'when = """{_CONDITIONS[n % len(_CONDITIONS)].format(n=n)}"""\n'
            for n in range(1, count)
        )
        + _LAST_RULE,
        encoding="utf-8",
    )
    settings = config.load({**ENVIRON, "RULES_FILE": str(file)})
    return runtime.Runtime(settings=settings, dynamodb=InstantDynamoDb(), clock=SystemClock())


def _time_callbacks(services: dict[int, runtime.Runtime], samples: int) -> dict[int, list[float]]:
    url = ENVIRON["PUBLIC_BASE_URL"] + PATH
    signature = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"]).compute_signature(url, CALLBACK)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signature,
    }
    body = urlencode(CALLBACK).encode()
    expected = {"instruction": "dequeue", "to": "client:alice", "from": "+15550002222"}
    times_ms: dict[int, list[float]] = {count: [] for count in services}
    with Path(os.devnull).open("w") as null, Client(app) as client:
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(null)  # type: ignore[attr-defined]
        for sample in range(samples + 1):
            for count, service in services.items():
                runtime.use(service)
                started = time.perf_counter()
                response = client.http.post(PATH, headers=headers, body=body)
                if sample:  # The first callback is a warm-up.
                    times_ms[count].append(_ms_since(started))
                if response.json_body != expected:
                    raise RuntimeError(
                        f"With {count} rule(s), the app returned {response.body!r}, not {expected}"
                    )
    runtime.use(None)
    return times_ms


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


_THIS_APP = """
import os
import app
from chalicelib import runtime
service = runtime.current()
service.store, service.signatures, service.rules
"""
_PLAIN_APP = """
import chalice, boto3
app = chalice.Chalice(app_name="plain")
boto3.resource("dynamodb").Table("reservations")
"""


def measure_cold_start(starts: int) -> bool:
    """Start the programs alternately and print their startup times.

    Args:
        starts: number of starts per program.

    Returns:
        Whether this app's startup time is within the limit, relative to a plain Chalice app.
    """
    programs = {"Python alone": "pass", "Chalice and boto3": _PLAIN_APP, "this app": _THIS_APP}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(_ROOT / "app.py", folder)
        shutil.copytree(_ROOT / "chalicelib", Path(folder, "chalicelib"))
        for start in range(starts + 1):
            for name, program in programs.items():
                duration = _time_start(program, Path(folder))
                if start:  # The first start may write the bytecode of installed modules.
                    seconds[name].append(duration)
    click.echo(f"Time from starting Python until the app is ready, best of {starts}:")
    for name, durations in seconds.items():
        click.echo(f"  {name:18}  {min(durations) * 1000:5.0f} ms")
    python, plain, this = (min(durations) for durations in seconds.values())
    ratio = (this - python) / (plain - python)
    click.echo(
        f"  this app takes {ratio:.2f} times as long as the plain one (limit {COLD_START_LIMIT}), "
        "not counting the startup of Python itself"
    )
    return ratio <= COLD_START_LIMIT


def _time_start(program: str, folder: Path) -> float:
    # Lambda compiles this app's modules at every cold start, because the zip file contains no
    # bytecode and the file system is read-only.
    for bytecode in [*folder.rglob("__pycache__")]:
        shutil.rmtree(bytecode)
    environ = os.environ | {
        "SETTINGS_DEFAULTS": str(_ROOT / "local" / "settings.env"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environ, check=True)  # noqa: S603  only this project's programs
    return time.perf_counter() - started
