"""The doctor checks and probes a running local stack."""

import json
import os
import subprocess
import sys

import pytest

from local import stack
from local.supervisor import ROOT
from tests.e2e.live_stack import bare_environ, eventually, live_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run_doctor(running, *options):
    completed = subprocess.run(
        [sys.executable, "-m", "infra", "doctor", "--stage", "local", "--json", *options],
        cwd=ROOT,
        env={**os.environ, **running.definition.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.stdout, completed.stderr
    return json.loads(completed.stdout)


def test_local_stack_passes_all_checks_and_the_probe():
    with live_stack(bare_environ(**stack.OPTIONAL_CALLBACKS)) as running:
        # The check of the last sweep fails until the first sweep has finished.
        document = eventually(
            lambda: report if (report := run_doctor(running))["ok"] else None, within=100
        )
        assert document, [
            check for check in run_doctor(running)["checks"] if check["result"] != "ok"
        ]

        findings = run_doctor(running, "--probe", "--yes")["probe"]

        assert [*findings["milliseconds"]][-1] == "completed"
        workers = running.taskrouter.get("/Workers").body["workers"]
        assert "taskrouter-callbacks probe" not in [worker["friendly_name"] for worker in workers]
