"""The commands in docs/quickstart.md work, and a Worker's token has limited access.

The tests run the commands up to the second start of the stack.
"""

import subprocess
import sys

import pytest
import requests

from local.supervisor import ROOT
from tests.docs_runner import pages
from tests.docs_runner.runner import ready_pattern
from tests.e2e.live_stack import bare_environ, eventually, live_stack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live():
    with live_stack(bare_environ()) as running:
        yield running


@pytest.fixture(autouse=True)
def _clean_start(live):
    live.clear()


def quickstart_script():
    """Return the commands between the first and the second start of the stack."""
    blocks = pages.read_blocks(ROOT / "docs" / "quickstart.md")
    commands = [command for block in blocks for command in pages.read_commands(block)]
    start, end, *_ = (index for index, command in enumerate(commands) if ready_pattern(command))
    return "\n".join(command.text for command in commands[start + 1 : end])


def test_commands_create_accept_and_complete_a_task(live):
    script = quickstart_script()
    assert "API=http://127.0.0.1:${API_PORT:-8000}" in script

    shell = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=ROOT,
        env=live.definition.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert shell.returncode == 0, shell.stderr
    assert '"assignment_status":"pending"' in shell.stderr.replace(" ", "")
    output = shell.stdout.replace(" ", "")
    steps = [
        '"status":"pending"',
        '"worker_name":"Alice"',
        '"reservation_status":"accepted"',
        '"assignment_status":"assigned"',
        '"activity_name":"Busy"',
        '"assignment_status":"completed"',
    ]
    positions = [output.find(step) for step in steps]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_worker_token_can_access_only_reservations_of_its_worker(live):
    reservation = live.create_pending_reservation()
    tokens = {
        name: subprocess.run(
            [sys.executable, "-m", "infra", "token", "--role", "worker", "--worker", name],
            cwd=ROOT,
            env=live.definition.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        for name in ("Alice", "Bob")
    }
    url = f"{live.definition.api_url}/reservations"
    sid = reservation["reservation_sid"]

    records = get(url, tokens["Alice"]).json()["reservations"]
    assert sid in [record["reservation_sid"] for record in records]
    assert {record["worker_sid"] for record in records} == {live.identifiers["workers"]["Alice"]}
    assert get(url, tokens["Bob"]).json()["reservations"] == []
    assert get(f"{url}/{sid}", tokens["Bob"]).status_code == 403
    assert get(url, "junk").status_code == 401
    response = requests.post(f"{url}/{sid}/accept", headers=bearer(tokens["Bob"]), timeout=30)
    assert response.status_code == 403
    accepted = requests.post(f"{url}/{sid}/accept", headers=bearer(tokens["Alice"]), timeout=30)
    assert accepted.json()["reservation_status"] == "accepted"
    assert eventually(lambda: live.activity_of_alice() == "Busy")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def get(url, token):
    return requests.get(url, headers=bearer(token), timeout=30)
