"""Sends the same requests as Twilio's browser SDK, without using the SDK."""

import contextlib
import http.client
import json
import time
from urllib.parse import urlencode, urlsplit

import jwt
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATH = "/v1/wschannels"
SECONDS = 10
"""Maximum wait for a response or a message, in seconds. Most arrive within milliseconds."""


def access_token(taskrouter, worker="Alice", role="worker", **options):
    """Return an Access Token created by Twilio's Python SDK."""
    token = AccessToken(
        taskrouter.account_sid, taskrouter.api_key_sid, taskrouter.api_key_secret, **options
    )
    grant = TaskRouterGrant(taskrouter.workspace_sid, taskrouter.workers.get(worker), role)
    token.add_grant(grant)
    return token.to_jwt()


def forge(taskrouter, secret=None, cty="twilio-fpa;v=1", algorithm="HS256", **changes):
    """Return an Access Token with changed claims; None removes a claim."""
    claims = {
        "iss": taskrouter.api_key_sid,
        "sub": taskrouter.account_sid,
        "exp": time.time() + 60,
        "grants": {
            "task_router": {
                "workspace_sid": taskrouter.workspace_sid,
                "worker_sid": taskrouter.workers["Alice"],
                "role": "worker",
            }
        },
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    secret = taskrouter.api_key_secret if secret is None else secret
    return jwt.encode(claims, secret, algorithm, {"cty": cty})


class BrowserSdk:
    """A client that sends the same requests as a Worker's browser SDK."""

    def __init__(self, taskrouter, worker="Alice", role="worker"):
        self.taskrouter = taskrouter
        self.worker_sid = taskrouter.workers.get(worker)
        self.token = access_token(taskrouter, worker, role)

    def send(self, method, path, headers=None, **params):
        """Send a request about the Workspace; return the status and the body."""
        url = f"Workspaces/{self.taskrouter.workspace_sid}/{path}"
        body = {"url": url, "method": method, "params": params, "token": self.token}
        return post(self.taskrouter, json.dumps(body).encode(), headers or {})

    def get(self, path, **params):
        status, body = self.send("GET", path, **params)
        assert status == 200, body
        return body["payload"]

    def post(self, path, **params):
        status, body = self.send("POST", path, **params)
        assert status == 200, body
        return body["payload"]

    def get_own(self, path="", **params):
        return self.get(f"Workers/{self.worker_sid}{path}", **params)

    def update_own(self, path="", **params):
        return self.post(f"Workers/{self.worker_sid}{path}", **params)

    def connect(self, **query):
        return open_channel(self.taskrouter, token=self.token, **query)


def post(taskrouter, body, headers):
    """Post a body to the event bridge; return the status and the JSON of the response."""
    response, content = send(taskrouter, "POST", headers, body)
    return response.status, json.loads(content)


def send(taskrouter, method, headers, body=b"{}"):
    """Send a request to the event bridge; return the response and its content."""
    connection = http.client.HTTPConnection(urlsplit(taskrouter.url).netloc, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request(method, PATH, body, headers)
        response = connection.getresponse()
        return response, response.read()


@contextlib.contextmanager
def open_channel(taskrouter, headers=None, **query):
    url = f"{taskrouter.url}{PATH}?{urlencode(query)}".replace("http", "ws", 1)
    with connect(url, additional_headers=headers, proxy=None) as socket:
        yield Channel(socket)


class Channel:
    """The client's side of a WebSocket."""

    def __init__(self, socket):
        self.socket = socket

    def receive(self):
        """Return the type and the payload of the next event."""
        message = json.loads(self.socket.recv(SECONDS))
        assert set(message) == {"event_type", "payload"}
        return message["event_type"], message["payload"]

    def receive_types(self, count):
        return [self.receive()[0] for _ in range(count)]

    def wait_until_closed(self):
        """Wait until the server closes the connection; return the code and the reason."""
        with contextlib.suppress(ConnectionClosed):
            while self.socket.recv(SECONDS):
                pass
        return self.socket.close_code, self.socket.close_reason
