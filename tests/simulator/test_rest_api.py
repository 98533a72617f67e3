"""Status, headers and body of REST responses, and the log entry of each request."""

import base64
import json
import socket
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from taskrouter_simulator.origins import FOREIGN
from taskrouter_simulator.rest import activities
from taskrouter_simulator.testing import running
from tests.simulator.conftest import SPANISH, send_request

ERRORS = "https://www.twilio.com/docs/errors"


def send(taskrouter, method="GET", path="", *, user=None, password=None, data=None, **headers):
    """Send a request to a path under /v1; return the response."""
    auth = (user or taskrouter.account_sid, password or taskrouter.auth_token)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{taskrouter.url}/v1{path}"
    return requests.request(method, url, auth=auth, data=data, headers=headers, timeout=5)


def workspace_path(taskrouter, path=""):
    return f"/Workspaces/{taskrouter.workspace_sid}{path}"


def error_body(status, code, message):
    return {
        "code": code, "message": message, "more_info": f"{ERRORS}/{code}", "status": status
    }  # fmt: skip


def test_unknown_path_returns_404(taskrouter):
    response = send(taskrouter, path="/Nothing")
    message = "The requested resource /Nothing was not found"
    assert response.json() == error_body(404, 20404, message)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_unsupported_method_returns_405(taskrouter, method):
    response = send(taskrouter, method, "/Workspaces")
    message = f"Method {method} is not allowed on /v1/Workspaces"
    assert (response.status_code, response.json()) == (405, error_body(405, 20004, message))


def test_missing_credentials_return_401(taskrouter):
    response = requests.get(f"{taskrouter.url}/v1/Workspaces", timeout=5)
    assert (response.status_code, response.json()) == (
        401, error_body(401, 20003, "Authenticate")
    )  # fmt: skip
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"'
    assert "WWW-Authenticate" not in send(taskrouter, path="/Workspaces").headers


def encode(text):
    return base64.b64encode(text.encode()).decode()


def test_only_basic_authentication_with_known_credentials_is_accepted(taskrouter):
    token = f"{taskrouter.account_sid}:{taskrouter.auth_token}"
    key = f"{taskrouter.api_key_sid}:{taskrouter.api_key_secret}"
    mixed = f"{taskrouter.api_key_sid}:{taskrouter.auth_token}"
    for header, status in (
        (f"Basic {encode(token)}", 200),
        (f"bASIC {encode(key)}", 200),
        (f"Basic {encode(mixed)}", 401),
        (f"Basic {encode(token + 'x')}", 401),
        (f"Bearer {encode(token)}", 401),
        (encode(token), 401),
        (f"Basic {encode(token)}~", 401),
        ("Basic ~", 401),
        ("Basic", 401),
        ("", 401),
    ):
        url = f"{taskrouter.url}/v1/Workspaces"
        response = requests.get(url, headers={"Authorization": header}, timeout=5)
        assert response.status_code == status, header


def test_foreign_origin_returns_403(taskrouter):
    response = send(taskrouter, path="/Workspaces", Origin="http://evil.example")
    assert (response.status_code, response.json()) == (403, error_body(403, 20003, FOREIGN))


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [(429, 20429, "Too Many Requests"), (500, 20500, "Internal Server Error"),
     (400, 20500, "Internal Server Error"), (599, 20500, "Internal Server Error")],
)  # fmt: skip
@pytest.mark.parametrize("moment", ["before", "after"])
def test_injected_error_has_status_and_retry_after(taskrouter, status, code, message, moment):
    taskrouter.fault("request", "error", status=status, retry_after=0, moment=moment)
    response = send(taskrouter, path="/Workspaces")
    assert (response.status_code, response.json()) == (status, error_body(status, code, message))
    assert response.headers["Retry-After"] == "0"


def test_unexpected_exception_is_logged_and_returns_500(taskrouter, monkeypatch, caplog):
    """A simulated bug is visible in the response, the request log and the server log."""
    monkeypatch.setattr(activities, "render", lambda *_: {}["missing"])
    sid = taskrouter.activities["Idle"]
    response = send(taskrouter, path=workspace_path(taskrouter, f"/Activities/{sid}"))
    body = error_body(500, 20500, "Internal Server Error")
    assert (response.status_code, response.json()) == (500, body)
    entry = taskrouter.log("request")[-1]
    assert (entry["status"], entry["answer"]) == (500, body)
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "taskrouter_simulator.rest.api")
    assert record.exc_info[0] is KeyError
    assert send(taskrouter, path="/Workspaces").status_code == 200


def test_problem_document_has_type_and_title():
    with running(problem_details=True) as taskrouter:
        response = send(taskrouter, path="/Nothing")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "code": 20404,
        "status": 404,
        "title": "The requested resource /Nothing was not found",
        "type": f"{ERRORS}/20404",
    }


def test_rate_limit_headers_are_not_sent_by_default(taskrouter):
    headers = send(taskrouter, path="/Workspaces").headers
    assert not [name for name in headers if name.startswith("X-Rate-Limit")]
    assert "Retry-After" not in headers


@pytest.fixture
def resource_paths(taskrouter, workspace):
    """Paths of a Task, a Worker, and their pending Reservation under both parents."""
    alice = taskrouter.workers["Alice"]
    workspace.workers(alice).update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=SPANISH)
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    parents = {"task": f"/Tasks/{task.sid}", "worker": f"/Workers/{alice}"}
    by_parent = {
        f"{name} reservation": f"{path}/Reservations/{reservation.sid}"
        for name, path in parents.items()
    }
    return {name: workspace_path(taskrouter, path) for name, path in (parents | by_parent).items()}


RESOURCES = ["task", "worker", "task reservation", "worker reservation"]


@pytest.mark.parametrize("name", RESOURCES)
def test_update_is_rejected_if_the_if_match_header_has_a_different_version(
    taskrouter, resource_paths, name
):
    path = resource_paths[name]
    version = int(send(taskrouter, path=path).headers["ETag"].strip('"'))
    data = {"Priority": 1, "FriendlyName": "Alicia", "Instruction": "accept"}
    for outdated in (version - 1, version + 1):
        response = send(taskrouter, "POST", path, data=data, If_Match=f'"{outdated}"')
        message = f'ETag "{outdated}" does not match'
        assert (response.status_code, response.json()) == (412, error_body(412, 20412, message))
        assert send(taskrouter, path=path).headers["ETag"] == f'"{version}"'
    response = send(taskrouter, "POST", path, data=data, If_Match=f'"{version}"')
    assert response.status_code == 200
    etag = response.headers["ETag"]
    assert int(etag.strip('"')) > version
    assert send(taskrouter, path=path).headers["ETag"] == etag


@pytest.mark.parametrize("etag_format", ["{}", '"{}"', 'W/"{}"', "*"])
def test_if_match_header_may_be_weak_unquoted_or_a_wildcard(
    taskrouter, resource_paths, etag_format
):
    path = resource_paths["task"]
    version = send(taskrouter, path=path).headers["ETag"].strip('"')
    response = send(
        taskrouter, "POST", path, data={"Priority": 1}, If_Match=etag_format.format(version)
    )
    assert response.status_code == 200


@pytest.mark.parametrize("name", ["task", "worker"])
def test_deletion_is_rejected_if_the_if_match_header_has_a_different_version(
    taskrouter, resource_paths, name
):
    path = resource_paths[name]
    if name == "worker":
        path = path.replace(taskrouter.workers["Alice"], taskrouter.workers["Bob"])
    version = send(taskrouter, path=path).headers["ETag"]
    outdated = send(taskrouter, "DELETE", path, If_Match='"99"')
    assert outdated.status_code == 412
    deleted = send(taskrouter, "DELETE", path, If_Match=version)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "ETag" not in deleted.headers
    assert send(taskrouter, path=path).status_code == 404


def test_new_task_and_worker_have_etag(taskrouter):
    for path, data in (("/Tasks", {}), ("/Workers", {"FriendlyName": "Carol"})):
        response = send(taskrouter, "POST", workspace_path(taskrouter, path), data=data)
        sid = response.json()["sid"]
        assert response.status_code == 201
        if path == "/Workers":
            fetched = send(taskrouter, path=workspace_path(taskrouter, f"{path}/{sid}"))
            assert fetched.headers["ETag"] == response.headers["ETag"]
        assert response.headers["ETag"]


@pytest.mark.parametrize("path", ["", "/Tasks", "/Activities", "/TaskChannels/voice"])
def test_lists_and_unversioned_resources_have_no_etag(taskrouter, path):
    assert "ETag" not in send(taskrouter, path=workspace_path(taskrouter, path)).headers


def test_request_is_logged_with_parameters_and_response(taskrouter):
    path = "/v1" + workspace_path(taskrouter, "/Workers")
    status, body = send_request(taskrouter, "GET", "/Workers", FriendlyName="Alice", Xyzzy="")
    (entry,) = taskrouter.log("request")
    assert entry == {
        "id": entry["id"],
        "at": entry["at"],
        "kind": "request",
        "method": "GET",
        "path": path,
        "parameters": {"FriendlyName": "Alice", "Xyzzy": ""},
        "status": status,
        "answer": body,
        "fault": None,
    }
    taskrouter.fault("request", "latency", seconds=0.001, moment="after")
    send(taskrouter, "POST", f"{path.removeprefix('/v1')}?A=1&B=1", data={"B": "2", "C": "3"})
    entry = taskrouter.log("request")[-1]
    assert (entry["parameters"], entry["status"]) == ({"A": "1", "B": "2", "C": "3"}, 400)
    assert (entry["method"], entry["fault"]) == ("POST", "latency after")
    unauthorized = {"user": "x"}
    send(taskrouter, path="/Workspaces?A=1", **unauthorized)
    entry = taskrouter.log("request")[-1]
    assert (entry["parameters"], entry["status"]) == ({}, 401)


@pytest.mark.parametrize("host", ["localhost:80", "[::1]:80", "x-1", ""])
def test_urls_begin_with_request_host(taskrouter, host):
    server = urlsplit(taskrouter.url)
    credentials = encode(f"{taskrouter.account_sid}:{taskrouter.auth_token}")
    lines = ["GET /v1/Workspaces HTTP/1.0", f"Authorization: Basic {credentials}"]
    lines += [f"Host: {host}"] if host else []
    with socket.create_connection((server.hostname, server.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with connection.makefile("rb") as file:
            body = json.loads(file.read().partition(b"\r\n\r\n")[2])
    assert body["meta"]["url"].startswith(f"http://{host or server.netloc}/v1/Workspaces?")


def test_single_page_has_no_next_or_previous_url(taskrouter):
    path = workspace_path(taskrouter, "/Activities")
    first = send(taskrouter, path=f"{path}?PageSize=1&FriendlyName=&Xyzzy=a+b&Page=0").json()
    assert first["activities"] == []
    base = f"{taskrouter.url}/v1{path}?FriendlyName=&Xyzzy=a+b"
    url = f"{base}&PageSize=1&Page=0"
    assert first["meta"] == {
        "first_page_url": url,
        "key": "activities",
        "next_page_url": None,
        "page": 0,
        "page_size": 1,
        "previous_page_url": None,
        "url": url,
    }
    default = send(taskrouter, path=path).json()["meta"]
    assert (default["page_size"], default["url"].partition("?")[2]) == (50, "PageSize=50&Page=0")


def test_page_has_number_and_urls_of_next_and_previous_page(taskrouter):
    url = f"{taskrouter.url}/v1{workspace_path(taskrouter, '/Activities')}"
    auth = (taskrouter.account_sid, taskrouter.auth_token)
    pages = [requests.get(f"{url}?PageSize=1", auth=auth, timeout=5).json()["meta"]]
    while pages[-1]["next_page_url"]:
        pages.append(requests.get(pages[-1]["next_page_url"], auth=auth, timeout=5).json()["meta"])
    assert [page["page"] for page in pages] == [0, 1, 2, 3]
    for number, page in enumerate(pages):
        assert page["first_page_url"] == f"{url}?{urlencode({'PageSize': 1, 'Page': 0})}"
        if number:
            assert page["url"] == pages[number - 1]["next_page_url"]
            assert f"PageSize=1&Page={number - 1}&PageToken=" in page["previous_page_url"]
