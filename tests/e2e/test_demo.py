"""`make demo` runs every stage, reports failures and leaves no processes behind."""

import signal
import subprocess
import sys
import time

import pytest

from local.supervisor import ROOT
from tests.e2e.live_stack import STARTUP_SECONDS, bare_environ, eventually, find_processes

pytestmark = pytest.mark.slow


def run_demo(environ):
    return subprocess.run(
        [sys.executable, "-m", "local", "demo"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_demo_runs_all_stages_within_a_minute_and_leaves_no_processes():
    # Unrelated shell variables must have no effect.
    unrelated = {"AWS_PROFILE": "work", "http_proxy": "http://127.0.0.1:9", "LOG_LEVEL": "WARNING"}
    environ = bare_environ(DEMO_MARK="succeeds", **unrelated)
    started = time.monotonic()

    result = run_demo(environ)

    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - started < 60
    for title in ("1. Deferred", "2. Instructed", "3. Rejected", "4. Timed out", "5. Called"):
        assert title in result.stdout
    assert eventually(lambda: not find_processes("DEMO_MARK", "succeeds"))


def test_error_names_the_failed_stage_and_the_expected_result():
    # The simulator rejects the wrong API key secret, so the first Task can't be created.
    environ = bare_environ(DEMO_MARK="fails", TWILIO_API_KEY_SECRET="not the simulator's")

    result = run_demo(environ)

    assert result.returncode == 1
    assert "'1. Deferred" in result.stderr
    assert "failed: expected" in result.stderr
    assert eventually(lambda: not find_processes("DEMO_MARK", "fails"))


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_demo_leaves_no_processes(signal_number, tmp_path):
    # SIGKILL leaves log files behind, so they are written to the test's folder.
    environ = bare_environ(DEMO_MARK=signal_number.name, TMPDIR=str(tmp_path))
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local", "demo"],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert eventually(
        lambda: "1. Deferred" in log.read_text(encoding="utf-8"), within=STARTUP_SECONDS
    )

    process.send_signal(signal_number)

    assert process.wait(20) != 0
    assert eventually(lambda: not find_processes("DEMO_MARK", signal_number.name))
    assert "Traceback" not in log.read_text(encoding="utf-8")
