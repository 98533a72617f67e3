"""Pages of other websites can't read, write or run anything through the local stack's ports."""

import base64
import json
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from infra.commands.token import create_token, read_api_key
from local import dynamodb, network, stack, supervisor
from local.demo import http_client
from tests.e2e.live_stack import bare_environ, eventually
from tests.portal.conftest import chromium

pytestmark = pytest.mark.slow

LOCAL_NETWORK_ACCESS = (
    "LocalNetworkAccessChecks",
    "LocalNetworkAccessChecksWebSockets",
)
"""Features of new versions of Chromium, which ask the user before a page may access this machine.
Other browsers and older versions do not ask, so the tests disable the features."""

ATTACK = Path(__file__).with_name("attack.js").read_text(encoding="utf-8")
CREATE_STACK = "Action=CreateStack&StackName=evil&TemplateBody={}"


class Victim(BaseHTTPRequestHandler):
    """A server that counts all requests and does not check Host or Origin."""

    protocol_version = "HTTP/1.1"
    received: ClassVar = Counter()

    def respond(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.received[self.command, self.headers.get("Upgrade", "")] += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_OPTIONS = respond  # noqa: N815  http.server's names

    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
def victim_port():
    """The port of a server that does not check Host or Origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Victim)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def running_stack():
    """The local stack without the sweep, which would change the tables during a test."""
    definition = stack.describe(bare_environ())
    programs = tuple(program for program in definition.programs if program.name != "sweep")
    with supervisor.running(replace(definition, programs=programs)):
        yield definition


@pytest.fixture(scope="module")
def page():
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with chromium(rules, disabled_features=LOCAL_NETWORK_ACCESS) as browser:
        page = browser.new_page()
        page.route("**/attack.html", lambda route: route.fulfill(body="", content_type="text/html"))
        yield page


def targets(definition, host):
    """Return requests to *host* that would read, write or run something."""

    def url(port, path):
        return f"http://{host}:{definition.port(port)}{path}"

    token = create_token(
        definition.settings, read_api_key(definition.settings), role="supervisor", hours=1
    )
    simulator = http_client.fetch_identifiers(definition.simulator_url)
    account = f"{simulator['account_sid']}:{simulator['auth_token']}"
    bearer = {"Authorization": f"Bearer {token}"}
    basic = {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
    target = {"X-Amz-Target": "DynamoDB_20120810.PutItem"}
    item = {"TableName": definition.tables.state, "Item": {"id": {"S": "evil"}}}
    tasks = f"/v1/Workspaces/{simulator['workspace_sid']}/Tasks"
    return [
        {"url": url("API_PORT", "/health"), "method": "GET"},
        {"url": url("API_PORT", "/reservations"), "method": "GET", "headers": bearer},
        {"url": url("API_PORT", "/create-task"), "method": "POST", "headers": bearer},
        {"url": url("API_PORT", "/create-task"), "method": "GET", "headers": bearer},
        {"url": url("DYNAMODB_PORT", "/"), "method": "POST", "body": CREATE_STACK},
        {"url": url("DYNAMODB_PORT", f"/?{CREATE_STACK}"), "method": "POST"},
        {"url": url("DYNAMODB_PORT", "/_ministack/reset"), "method": "POST"},
        {"url": url("DYNAMODB_PORT", "/_ministack/health"), "method": "GET"},
        {
            "url": url("DYNAMODB_PORT", "/"),
            "method": "POST",
            "headers": target,
            "body": json.dumps(item),
        },
        {"url": url("SIMULATOR_PORT", "/simulator"), "method": "GET"},
        {"url": url("SIMULATOR_PORT", "/simulator/portal"), "method": "GET"},
        {"url": url("SIMULATOR_PORT", "/simulator/portal/main.js"), "method": "GET"},
        {"url": url("SIMULATOR_PORT", "/simulator/reset"), "method": "POST"},
        {"url": url("SIMULATOR_PORT", "/simulator/faults"), "method": "POST", "body": "{}"},
        {
            "url": url("SIMULATOR_PORT", tasks),
            "method": "POST",
            "headers": basic,
            "body": "Attributes=%7B%7D",
        },
    ]


def state(definition):
    """Return the tables' items, the simulator's state, and its accepted requests."""
    client = dynamodb.client(definition.dynamodb_url)
    names = client.list_tables()["TableNames"]
    items = {name: client.scan(TableName=name, ConsistentRead=True)["Items"] for name in names}
    with network.DIRECT_OPENER.open(f"{definition.simulator_url}/simulator/state") as response:
        overview = json.load(response)
    with network.DIRECT_OPENER.open(f"{definition.simulator_url}/simulator/log") as response:
        log = json.load(response)["entries"]
    overview.pop("log", None)
    accepted = [entry for entry in log if entry.get("status", 0) < 400]
    return {"items": items, "overview": overview, "accepted": accepted}


@contextmanager
def unchanged(definition):
    before = state(definition)
    yield
    assert state(definition) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
@pytest.mark.parametrize("origin", ["http://127.0.0.1:9", "http://evil.example", "data:text/html,"])
def test_cross_origin_page_reads_and_changes_nothing(running_stack, page, origin, host):
    ports = [running_stack.port(name) for name in stack.PORTS]
    page.goto(f"{origin}/attack.html")

    with unchanged(running_stack):
        read = page.evaluate(
            ATTACK,
            {
                "requests": targets(running_stack, host),
                "sockets": [f"ws://{host}:{port}/" for port in ports],
            },
        )

    assert read == []


@pytest.mark.parametrize("port", stack.PORTS)
def test_page_after_dns_rebinding_reads_and_changes_nothing(running_stack, page, port):
    """The page's host name resolves to this machine, so requests to its port are same-origin."""
    number = running_stack.port(port)
    page.goto(f"http://evil.example:{number}/attack.html")

    with unchanged(running_stack):
        read = page.evaluate(
            ATTACK,
            {
                "requests": targets(running_stack, "evil.example"),
                "sockets": [f"ws://evil.example:{number}/"],
            },
        )

    assert read == []


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9", "http://evil.example", "data:text/html,", None]
)
def test_requests_from_the_page_reach_an_unguarded_server(page, victim_port, origin, host):
    url = f"http://{host}:{victim_port}"
    page.goto(f"{origin or url}/attack.html")
    Victim.received.clear()

    read = page.evaluate(
        ATTACK,
        {
            "requests": [{"url": f"{url}/", "method": "POST", "body": CREATE_STACK}],
            "sockets": [f"ws://{host}:{victim_port}/"],
        },
    )

    expected = {
        ("GET", "websocket"): 1,
        ("POST", ""): 5 if origin is None else 4,  # fetch in two or three modes, a form, a beacon
        ("GET", ""): 4,  # an image, a script, a style sheet, a frame
    }
    # The page does not wait for its beacon.
    assert eventually(lambda: Victim.received == expected), Victim.received
    # Only a same-origin page can read the responses.
    assert bool(read) == (origin is None)
