"""Measures with pyperf how much time 100 rules add to a callback.

Signed callbacks go through the whole app (`chalice.test`). `measure` runs this module as a program,
alternately with one rule and with 100 rules, only the last of which matches.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import pyperf
from chalice.test import Client

from app import app
from benchmarks.inputs import BODY, ENVIRON, HEADERS, PATH, InstantDynamoDb
from benchmarks.report import Figure
from chalicelib import config, observability, runtime
from chalicelib.runtime import SystemClock

MANY_RULES = 100
_EXPECTED = {"instruction": "dequeue", "to": "client:alice", "from": "+15550002222"}

# Three conditions, which the rules use in turn. None of them matches the callback.
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


def measure(rounds: int) -> list[Figure]:
    """Compare callbacks that evaluate 100 rules with callbacks that evaluate one rule.

    Args:
        rounds: number of processes for each number of rules.
    """
    values: dict[int, list[float]] = {1: [], MANY_RULES: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for rules, times in values.items():
                file = Path(folder) / f"{rules}-{number}.json"
                command = [sys.executable, "-m", __name__, "--rules", str(rules)]
                command += ["--quiet", "-o", str(file)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
                times.extend(pyperf.Benchmark.load(str(file)).get_values())
    one_ms, many_ms = (median(times) * 1000 for times in values.values())
    return [
        Figure(
            name=f"callback in the app, {MANY_RULES} rules",
            value=many_ms,
            other="1 rule",
            other_value=one_ms,
            unit="ms",
        )
    ]


def _make_runtime(rules: int, folder: Path) -> runtime.Runtime:
    file = folder / "rules.toml"
    text = "".join(
        f'[[rule]]\nname = "rule {n}"\ninstruction = "accept"\n'
        f'when = """{_CONDITIONS[n % len(_CONDITIONS)].format(n=n)}"""\n'
        for n in range(1, rules)
    )
    file.write_text(text + _LAST_RULE, encoding="utf-8")
    settings = config.load({**ENVIRON, "RULES_FILE": str(file)})
    return runtime.Runtime(settings=settings, dynamodb=InstantDynamoDb(), clock=SystemClock())


def _pass_rules(command: list[str], options: argparse.Namespace) -> None:
    """Add this program's own option to the command of pyperf's worker process."""
    command += ["--rules", str(options.rules)]


def main() -> None:
    """Run a pyperf program that times callbacks."""
    runner = pyperf.Runner(
        processes=1,
        values=5,
        warmups=1,
        min_time=0.05,
        program_args=("-m", "benchmarks.rules"),
        add_cmdline_args=_pass_rules,
    )
    runner.argparser.add_argument("--rules", type=int, required=True)
    options = runner.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w", encoding="utf-8") as null,
        Client(app) as client,
    ):
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(null)  # type: ignore[attr-defined]
        runtime.use(_make_runtime(options.rules, Path(folder)))

        def post() -> None:
            response = client.http.post(PATH, headers=HEADERS, body=BODY.encode())
            if response.json_body != _EXPECTED:
                raise RuntimeError(f"The app returned {response.body!r}, not {_EXPECTED}")

        runner.bench_func("callback", post)


if __name__ == "__main__":
    main()
