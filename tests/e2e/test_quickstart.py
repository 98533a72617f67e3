"""docs/quickstart.md, word for word."""

import re
import subprocess
import sys

import pytest
import requests

from local.supervisor import ROOT
from tests.e2e.world import bare_environ, eventually, world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here():
    with world(bare_environ()) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_goes_on(here):
    here.clear()


def commands(here):
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    described = here.described
    return script.replace("http://127.0.0.1:8000", described.api_url).replace(
        "http://127.0.0.1:8002", described.simulator_url
    )


def test_its_commands_take_a_task_from_created_to_completed(here):
    script = commands(here)
    assert here.described.api_url in script

    shell = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=ROOT,
        env=here.described.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert shell.returncode == 0, shell.stderr
    assert '"assignment_status":"pending"' in shell.stderr.replace(" ", "")
    told = shell.stdout.replace(" ", "")
    steps = [
        '"status":"pending"',
        '"worker_name":"Alice"',
        '"reservation_status":"accepted"',
        '"assignment_status":"assigned"',
        '"activity_name":"Busy"',
        '"assignment_status":"completed"',
    ]
    places = [told.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_a_worker_sees_and_decides_only_its_own(here):
    """The same by a Worker's token, minted by name."""
    reservation = here.pending_reservation()
    tokens = {
        name: subprocess.run(
            [sys.executable, "-m", "infra", "token", "--role", "worker", "--worker", name],
            cwd=ROOT,
            env=here.described.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        for name in ("Alice", "Bob")
    }
    url = f"{here.described.api_url}/reservations"
    sid = reservation["reservation_sid"]

    seen = get(url, tokens["Alice"]).json()["reservations"]
    assert sid in [r["reservation_sid"] for r in seen]
    assert {r["worker_sid"] for r in seen} == {here.names["workers"]["Alice"]}
    assert get(url, tokens["Bob"]).json()["reservations"] == []
    assert get(f"{url}/{sid}", tokens["Bob"]).status_code == 403
    assert get(url, "junk").status_code == 401
    refused = requests.post(f"{url}/{sid}/accept", headers=bearer(tokens["Bob"]), timeout=30)
    assert refused.status_code == 403
    accepted = requests.post(f"{url}/{sid}/accept", headers=bearer(tokens["Alice"]), timeout=30)
    assert accepted.json()["reservation_status"] == "accepted"
    assert eventually(lambda: here.activity_of_alice() == "Busy")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def get(url, token):
    return requests.get(url, headers=bearer(token), timeout=30)
