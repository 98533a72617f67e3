"""The documented commands succeed on the local stack, page by page."""

import re

import pytest

from local import network
from local.demo import http_client
from local.demo.http_client import HttpClient
from tests.docs_runner import checkout, pages, tables
from tests.docs_runner.runner import Page
from tests.docs_runner.shell import Programs, Shell
from tests.e2e.live_stack import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DOCUMENTED_PORTS = {
    "8000": "API_PORT",
    "8001": "DYNAMODB_PORT",
    "8002": "SIMULATOR_PORT",
    "8150": "API_PORT",
    "8152": "SIMULATOR_PORT",
}
"""Ports on the pages, and the variables that set them. The tests use free ports instead."""

AWS_PAGES = {"deploy.md", "operations.md"}
"""tests/deploy/test_docs.py runs the commands on these pages."""

SELF_CONTAINED_PAGES = {
    "README.md",
    "CONTRIBUTING.md",
    "quickstart.md",
    "simulator.md",
    "workspace.md",
}
"""Pages that start the stack or need no stack. The other pages expect a running stack."""


def has_commands(path):
    """Return whether the tests run any command on a page."""
    return any(
        command.bare not in tables.NOT_RUN
        for block in pages.read_blocks(path)
        for command in pages.read_commands(block)
    )


LOCAL_PAGES = [path for path in pages.PATHS if path.name not in AWS_PAGES and has_commands(path)]


@pytest.fixture
def ports():
    names = sorted(set(DOCUMENTED_PORTS.values()))
    return dict(zip(names, network.find_free_ports(len(names)), strict=True))


@pytest.fixture
def open_page(tmp_path, ports):
    """A function that returns a `Page`, whose commands run in a new checkout and use free ports."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    checkout.create(folder)
    variables = {name: str(port) for name, port in ports.items()}
    environ = checkout.environ(tmp_path / "bin", **variables)
    shell, programs = Shell.start(folder, environ), Programs(folder, environ)
    replacements = {port: str(ports[name]) for port, name in DOCUMENTED_PORTS.items()}
    # Without --port, `chalice local` would restart itself to use API_PORT.
    replacements["chalice local"] = f"chalice local --port {ports['API_PORT']}"
    yield lambda path: Page(path, shell, programs, replacements)
    shell.end()
    programs.kill()


EXPECTED_OUTPUT = {
    "quickstart.md": [
        '"assignment_status":"pending"',
        '"assignment_status":"canceled"',
        '"reservation_status":"accepted"',
        '"assignment_status":"assigned"',
        '"activity_name":"Busy"',
        '"assignment_status":"completed"',
        '"activity_name":"Offline"',
        # With ASSIGNMENT_INSTRUCTION=accept
        '"assignment_status":"pending"',
        '"activity_name":"Idle"',
        '"assignment_status":"assigned"',
        # With RULES_FILE=local/voice-rules.toml
        '"contact_uri',
        '"status":"in-progress"',
        '"connected_with":"CA',
        '"status":"completed"',
    ],
    "api.md": ['"reservations":[]', '"reservation_status":"accepted"'],
    "simulator.md": ['"status":"in-progress"'],
}
"""Strings that the output of a page must contain in this order. Whitespace is ignored."""


def place_call(ports):
    """Make Alice available, place a call, and wait for its assignment callback."""
    simulator = network.url(ports["SIMULATOR_PORT"])
    identifiers = http_client.fetch_identifiers(simulator)
    workspace = f"{simulator}/v1/Workspaces/{identifiers['workspace_sid']}"
    account = (identifiers["account_sid"], identifiers["auth_token"])
    taskrouter = HttpClient("TaskRouter", workspace, account=account)
    alice = {
        "ActivitySid": identifiers["activities"]["Idle"],
        "Attributes": '{"languages": ["es"], "contact_uri": "+15555555555"}',
    }
    assert taskrouter.post(f"/Workers/{identifiers['workers']['Alice']}", alice).status == 200
    control = HttpClient("simulator", f"{simulator}/simulator", json=True)
    call = {"from": "+15550001111", "to": "+15556667777", "digits": "1"}
    assert control.post("/calls", call).status < 300
    assert eventually(lambda: control.get("/log", {"kind": "assignment"}).body["entries"])


def save_rules(folder):
    """Save the first TOML example of docs/rules.md as the rules of the checkout."""
    blocks = pages.read_blocks(pages.ROOT / "docs" / "rules.md")
    rules = next(block.text for block in blocks if block.language == "toml")
    (folder / "chalicelib" / "rules.toml").write_text(rules, encoding="utf-8")


@pytest.mark.parametrize("path", LOCAL_PAGES, ids=lambda path: path.stem)
def test_commands_on_the_page_succeed(path, ports, open_page):
    page = open_page(path)
    page.before = {
        "api.md": {"status=pending": lambda: place_call(ports)},
        "rules.md": {"rules explain": lambda: save_rules(page.shell.folder)},
    }.get(path.name, {})
    if path.name not in SELF_CONTAINED_PAGES:
        page.programs.start("make run", r"Press Ctrl-C to stop")

    page.run()

    page.programs.interrupt()
    output, position = re.sub(r"\s", "", page.output), 0
    for expected in EXPECTED_OUTPUT.get(path.name, []):
        position = output.find(expected, position)
        assert position >= 0, f"The output does not contain {expected} in the right place."


def test_commands_that_are_not_run_are_printed_with_their_reasons(capsys):
    lines = [f"  {command}: {reason}" for command, reason in tables.NOT_RUN.items()]
    with capsys.disabled():
        print("\nThe tests run all documented commands except:", *lines, sep="\n")  # noqa: T201
    assert all(tables.NOT_RUN.values())
