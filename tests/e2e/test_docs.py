"""The commands of the documentation, page by page, against the local stack."""

import pytest

from local import network, stack
from local.demo import http_client
from local.demo.http_client import HttpClient
from tests.docs_runner import checkout, pages
from tests.docs_runner.runner import Page
from tests.docs_runner.shell import Programs, Shell
from tests.e2e.live_stack import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AWS_PAGES = {"deploy.md", "operations.md"}
"""tests/deploy/test_docs.py runs the commands of these pages."""

START_THE_STACK = {"README.md", "CONTRIBUTING.md", "quickstart.md", "simulator.md"}
"""Pages that start the stack, or need none. The other pages expect that it runs."""

LOCAL_PAGES = [
    path
    for path in pages.PATHS
    if path.name not in AWS_PAGES and any(map(pages.read_commands, pages.read_blocks(path)))
]


@pytest.fixture
def ports():
    return dict(zip(stack.DEFAULT_PORTS, network.find_free_ports(3), strict=True))


@pytest.fixture
def open_page(tmp_path, ports):
    """A function that opens a page in a fresh checkout, whose programs use free ports."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    checkout.create(folder)
    variables = {name: str(port) for name, port in ports.items()}
    environ = checkout.environ(tmp_path / "bin", **variables)
    shell, programs = Shell.start(folder, environ), Programs(folder, environ)
    replacements = {str(stack.DEFAULT_PORTS[name]): str(port) for name, port in ports.items()}
    yield lambda path: Page(path, shell, programs, replacements)
    shell.end()
    programs.kill()


def place_call(ports):
    """Place a call, and wait until a Reservation is recorded for it."""
    simulator, api = (network.url(ports[name]) for name in ("SIMULATOR_PORT", "API_PORT"))
    names = http_client.fetch_identifiers(simulator)
    workspace = f"{simulator}/v1/Workspaces/{names['workspace_sid']}"
    account = (names["account_sid"], names["auth_token"])
    taskrouter = HttpClient("TaskRouter", workspace, account=account)
    alice = {
        "ActivitySid": names["activities"]["Idle"],
        "Attributes": '{"languages": ["es"], "contact_uri": "+15555555555"}',
    }
    assert taskrouter.post(f"/Workers/{names['workers']['Alice']}", alice).status == 200
    control = HttpClient("simulator", f"{simulator}/simulator", json=True)
    call = {"from": "+15550001111", "to": "+15556667777", "digits": "1"}
    assert control.post("/calls", call).status < 300
    assert eventually(lambda: control.get("/log", {"kind": "callback"}).body["entries"]), api


@pytest.mark.parametrize("path", LOCAL_PAGES, ids=lambda path: path.stem)
def test_every_command_of_the_page_succeeds(path, ports, open_page):
    page = open_page(path)
    page.before = {"status=pending": lambda: place_call(ports)} if path.stem == "api" else {}
    if path.name not in START_THE_STACK:
        page.programs.start("make run", r"Press Ctrl-C to stop")

    page.run()

    page.programs.interrupt()
