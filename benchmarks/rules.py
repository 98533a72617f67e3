"""What a hundred rules cost a callback, against one."""

import logging
import os
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

LIMIT_MS = 1.0
MANY = 100

_PATH = "/assignment_callback"
_ENVIRON = {
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
_CALLBACK = {
    "AccountSid": _ENVIRON["TWILIO_ACCOUNT_SID"],
    "WorkspaceSid": _ENVIRON["TWILIO_WORKSPACE_SID"],
    "WorkflowSid": _ENVIRON["TWILIO_WORKFLOW_SID"],
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
# Three kinds of condition by turns; none holds.
_CONDITIONS = (
    "task.language == 'l{n}' && contains(worker.skills || `[]`, 's{n}')",
    "task.product == 'x{n}' || priority > `{n}00`",
    "!(task.call_sid) && age >= `{n}` && starts_with(worker.contact_uri || '', 'sip:')",
)
_LAST = """
[[rule]]
name = "the rest"
instruction = "dequeue"
from = {ref = "task.to"}
to = {ref = "worker.contact_uri"}
"""


class _Store:
    """A DynamoDB that answers at once: what is measured is the rest."""

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Return the item as written, as far as the caller looks at it."""
        values = request["ExpressionAttributeValues"]
        (answer,) = (
            value for value in values.values() if "M" in value and "instruction" in value["M"]
        )
        return {"Attributes": {"answer": answer}}


def measure(samples: int) -> bool:
    """Answer *samples* callbacks with one rule and with many; tell whether the promise holds."""
    with tempfile.TemporaryDirectory() as folder:
        services = {count: _service(count, Path(folder)) for count in (1, MANY)}
        started = time.perf_counter()
        rules_file.read(services[MANY].settings.rules_file)
        reading = _ms(started)
        taken = _answer_all(services, samples)
    one, many = (median(taken[count]) for count in (1, MANY))
    click.echo(f"A callback answered, {samples} samples of each, DynamoDB's time left out:")
    for count, times in taken.items():
        p50, p95 = median(times), quantiles(times, n=20)[-1]
        click.echo(f"  {count:3} rule(s)   p50 {p50:6.3f} ms   p95 {p95:6.3f} ms")
    click.echo(
        f"  {MANY} rules cost {many - one:.3f} ms more than one (limit {LIMIT_MS} ms), "
        f"{many / one:.2f} times as much"
    )
    click.echo(f"  reading {MANY} rules, once per container: {reading:.1f} ms")
    return many - one < LIMIT_MS


def _service(count: int, folder: Path) -> runtime.Runtime:
    file = folder / f"{count}.toml"
    file.write_text(
        "".join(
            f'[[rule]]\nname = "rule {n}"\ninstruction = "accept"\n'
            f'when = """{_CONDITIONS[n % len(_CONDITIONS)].format(n=n)}"""\n'
            for n in range(1, count)
        )
        + _LAST,
        encoding="utf-8",
    )
    settings = config.load({**_ENVIRON, "RULES_FILE": str(file)})
    return runtime.Runtime(settings=settings, dynamodb=_Store(), clock=SystemClock())


def _answer_all(services: dict[int, runtime.Runtime], samples: int) -> dict[int, list[float]]:
    url = _ENVIRON["PUBLIC_BASE_URL"] + _PATH
    signature = RequestValidator(_ENVIRON["TWILIO_AUTH_TOKEN"]).compute_signature(url, _CALLBACK)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": signature,
    }
    body = urlencode(_CALLBACK).encode()
    expected = {"instruction": "dequeue", "to": "client:alice", "from": "+15550002222"}
    taken: dict[int, list[float]] = {count: [] for count in services}
    with Path(os.devnull).open("w") as nowhere, Client(app) as client:
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(nowhere)  # type: ignore[attr-defined]
        for turn in range(samples + 1):
            for count, service in services.items():
                runtime.use(service)
                started = time.perf_counter()
                answer = client.http.post(_PATH, headers=headers, body=body)
                if turn:  # the first warms up
                    taken[count].append(_ms(started))
                if answer.json_body != expected:
                    raise RuntimeError(f"{count} rules answered {answer.body!r}")
    runtime.use(None)
    return taken


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
