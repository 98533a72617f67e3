import json
import os
import subprocess
import sys

import pytest

from local import network
from local.supervisor import ROOT


@pytest.fixture
def sweep(dynamodb, tables, taskrouter):
    environ = {
        **dynamodb.environ,
        "RESERVATIONS_TABLE": tables.reservations,
        "STATE_TABLE": tables.state,
        "TWILIO_TASKROUTER_URL": taskrouter.url,
    }

    def run(*arguments, **own):
        return subprocess.run(
            [sys.executable, "-m", "infra", "sweep", *arguments],
            cwd=ROOT,
            env=os.environ | environ | own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_a_sweep_by_hand_says_what_came_of_it(sweep):
    result = sweep("--once", "--monitor")

    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["ok"], told["due"], told["monitor_only"]) == (True, 0, True)


def test_a_sweep_by_hand_that_fails_says_so(sweep):
    (port,) = network.find_free_ports(1)

    result = sweep("--once", TWILIO_TASKROUTER_URL=f"http://127.0.0.1:{port}")

    assert result.returncode == 1
    assert json.loads(result.stdout)["errors"].keys() == {"TaskRouterUnavailable"}
    assert "The sweep failed" in result.stderr
    assert "Traceback" not in result.stderr
