"""`chalice local` loads settings, reports mistakes and refuses cross-origin requests."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from chalice import local
from chalice.app import Chalice, Response
from chalice.config import Config
from chalice.test import Client

from chalicelib import config, observability, runtime
from chalicelib.domain.callback_log import CallbackQuery, LogPosition
from infra import OperatorError
from infra.aws import stage_config
from local import chalice_local, network, stack
from taskrouter_simulator.origins import FOREIGN
from taskrouter_simulator.testing import running

ACCOUNT = "AC" + "1" * 32
SECRET, NEXT_SECRET = "first-secret_0123456", "NextSecret9876543210"
AWS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
DEV = {
    "TWILIO_ACCOUNT_SID": "",
    "SECRETS_PARAMETER": "/taskrouter-callbacks/dev/secrets",
    "RESERVATIONS_TABLE": "taskrouter-callbacks-dev-reservations",
    "STATE_TABLE": "taskrouter-callbacks-dev-state",
}


@pytest.fixture
def ports():
    return dict(
        zip(
            ["API_PORT", "DYNAMODB_PORT", "SIMULATOR_PORT"], network.find_free_ports(3), strict=True
        )
    )


@pytest.fixture
def environ(monkeypatch, ports):
    """The environment, with free ports, after Chalice has set the variables of the dev stage."""
    environ = {"PATH": os.environ["PATH"], **DEV}
    environ |= {name: str(port) for name, port in ports.items()}
    monkeypatch.setattr(os, "environ", environ)
    return environ


@pytest.fixture(autouse=True)
def no_runtime():
    """After each test, remove the runtime that `configure` built, and reset the log."""
    yield
    runtime.use(None)
    observability.configure("INFO")


def configure(port, *, stage="dev", host="127.0.0.1"):
    """Configure an app with one route, and return it."""
    app = Chalice("app")
    app.route("/")(lambda: Response({"secret": 1}))
    chalice_local.configure(app, stage=stage, host=host, port=port)
    return app


def test_stage_without_an_account_is_served_with_the_local_settings(environ, ports, capsys):
    configure(ports["API_PORT"])

    settings = config.load()
    assert settings.twilio_taskrouter_url == network.url(ports["SIMULATOR_PORT"])
    assert settings.public_base_url == network.url(ports["API_PORT"])
    assert settings.reservations_table == "reservations"
    assert not settings.secrets_parameter
    assert environ["AWS_ENDPOINT_URL_DYNAMODB"] == network.url(ports["DYNAMODB_PORT"])
    assert capsys.readouterr().out == (
        "Stage dev does not set TWILIO_ACCOUNT_SID. Using the local stage: TaskRouter simulator at "
        f"{settings.twilio_taskrouter_url}, DynamoDB at {network.url(ports['DYNAMODB_PORT'])}.\n"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")],  # noqa: S104  compared
)
def test_callbacks_are_sent_again_to_the_address_of_the_local_server(
    environ, ports, monkeypatch, host, address
):
    registered = []
    monkeypatch.setattr(
        chalice_local.send_again,
        "register",
        lambda app, *, base_url: registered.append((app, base_url)),
    )

    app = configure(ports["API_PORT"], host=host)

    assert registered == [(app, f"http://{address}:{ports['API_PORT']}")]


def test_only_a_local_stage_has_a_route_that_sends_callbacks_again(environ, ports):
    path = "/reservations/{sid}/send_again"
    assert [*configure(ports["API_PORT"]).routes[path]] == ["POST", "OPTIONS"]

    sids = {"TWILIO_WORKSPACE_SID": "WS" + "2" * 32, "TWILIO_WORKFLOW_SID": "WW" + "3" * 32}
    environ.update(sids, TWILIO_ACCOUNT_SID=ACCOUNT, **AWS)
    for name in ("RESERVATIONS_TABLE", "STATE_TABLE", "SECRETS_PARAMETER"):
        environ[name] = DEV[name]
    assert path not in configure(ports["API_PORT"]).routes


def test_log_lines_of_callbacks_are_stored_in_memory(environ, ports):
    configure(ports["API_PORT"])
    observability.log("request", {"route": "/event_callback"})

    query = CallbackQuery(since=0, until=10**15, fields={})
    log = runtime.current().callback_log
    (page,) = log.read_backward(query, limit=1, position=LogPosition(query.until))
    assert [line.fields["route"] for line in page.lines] == ["/event_callback"]


def test_base_url_reflects_the_port_option(environ, ports, capsys):
    del environ["API_PORT"]

    configure(ports["API_PORT"])

    assert config.load().public_base_url == network.url(ports["API_PORT"])
    assert f"API_PORT={ports['API_PORT']} " in capsys.readouterr().err


def test_missing_services_and_the_command_that_starts_them_are_reported(environ, ports, capsys):
    configure(ports["API_PORT"])

    simulator, database = (network.url(ports[name]) for name in ("SIMULATOR_PORT", "DYNAMODB_PORT"))
    assignments = " ".join(f"{name}={port}" for name, port in ports.items())
    assert capsys.readouterr().err == (
        f"The TaskRouter simulator at {simulator} and DynamoDB at {database} do not respond. "
        f"In another terminal, run: {assignments} make services\n"
    )


@pytest.fixture
def local_dynamodb(environ, dynamodb, tables):
    """Make the local stage use the tests' DynamoDB."""
    for name in DEV:
        del environ[name]
    names = {"RESERVATIONS_TABLE": tables.reservations, "STATE_TABLE": tables.state}
    environ.update(dynamodb.environ, **names)


@pytest.mark.usefixtures("local_dynamodb")
def test_simulator_that_posts_callbacks_to_another_url_is_reported(environ, ports, capsys):
    with running(callback_base_url="http://127.0.0.1:9") as simulator:
        environ.update(TWILIO_TASKROUTER_URL=simulator.url)
        configure(ports["API_PORT"], stage="local")

    error = capsys.readouterr().err
    assert "posts its callbacks to http://127.0.0.1:9, not to " in error
    assert f"Restart the simulator: API_PORT={ports['API_PORT']} " in error


@pytest.mark.usefixtures("local_dynamodb")
@pytest.mark.parametrize(
    ("simulator_path", "problem"),
    [
        ("", "posts its callbacks to {base}, not to {base}/***. Restart"),
        (
            "/other-secret_9876543",
            "callbacks to {base}/*** with a secret other than the first value of CALLBACK_PATH",
        ),
        (f"/{SECRET}", None),
        (f"/{SECRET}/", None),
    ],
)
def test_simulator_is_reported_unless_its_callback_url_contains_the_secret(
    environ, ports, capsys, simulator_path, problem
):
    base = network.url(ports["API_PORT"])
    with running(callback_base_url=base + simulator_path) as simulator:
        environ.update(TWILIO_TASKROUTER_URL=simulator.url, CALLBACK_PATH_SECRETS=SECRET)
        configure(ports["API_PORT"], stage="local")

    error = capsys.readouterr().err
    assert SECRET not in error
    assert "other-secret" not in error
    assert problem.format(base=base) in error if problem else "posts its callbacks" not in error


@pytest.mark.parametrize("secrets", [SECRET, f"open,{SECRET}", f"{SECRET},{NEXT_SECRET}"])
@pytest.mark.parametrize("path", ["/assignment_callback", "/event_callback/?a=b", "", "%2e", "\t"])
def test_access_log_does_not_contain_the_secret(monkeypatch, capsys, secrets, path):
    monkeypatch.setattr(local.ChaliceRequestHandler, "log_message", None, raising=False)
    chalice_local._hide_secrets_in_access_log(
        stack.describe({"CALLBACK_PATH_SECRETS": secrets}).settings
    )
    handler = object.__new__(local.ChaliceRequestHandler)
    handler.client_address = ("127.0.0.1", 1)
    used = [secret for secret in secrets.split(",") if secret != "open"]
    for secret in used:
        handler.requestline = f"POST /{secret}{path} HTTP/1.1"
        handler.log_request(200)
        handler.log_error("code %d, message %s", 400, f"Bad request syntax ('/{secret}{path}')")

    lines = capsys.readouterr().err
    assert lines.count("/***") == 2 * len(used)
    assert not any(secret in lines for secret in used)


@pytest.fixture
def echo_port(monkeypatch):
    """The port of a `chalice local` server whose only route returns the request's body."""
    monkeypatch.setattr(
        local.ChaliceRequestHandler, "parse_request", BaseHTTPRequestHandler.parse_request
    )
    chalice_local._tune_server()
    app = Chalice("app")
    app.route("/", methods=["POST"])(lambda: str(app.current_request.raw_body, "ascii"))
    server = local.LocalDevServer(app, Config.create(chalice_app=app), "127.0.0.1", 0).server
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def exchange(port, headers, body):
    """Send a POST request, and return all data that the server sends before it disconnects."""
    request = "".join(["POST / HTTP/1.1\r\n", *(f"{line}\r\n" for line in headers), "\r\n", body])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


@pytest.mark.parametrize(
    "headers",
    [
        ["Transfer-Encoding: chunked"],
        ["transfer-encoding: CHUNKED"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: -5", "Transfer-Encoding: chunked"],
    ],
)
def test_body_with_transfer_encoding_gets_411_and_is_not_parsed_as_a_request(echo_port, headers):
    chunk = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    response = exchange(echo_port, headers, f"{len(chunk):x}\r\n{chunk}\r\n0\r\n\r\n")

    assert response.startswith("HTTP/1.1 411 ")
    assert response.count("HTTP/1.1 ") == 1
    assert json.loads(response.partition("\r\n\r\n")[2]) == {
        "Code": "LengthRequired",
        "Message": "Send Content-Length. Only API Gateway accepts Transfer-Encoding.",
    }


@pytest.mark.parametrize(
    "headers",
    [[f"Content-Length: {value}"] for value in ("-5", "abc", "", "+5", "5_0", "5, 5", "0x5", "1e1")]
    + [["Content-Length: " + "9" * 10], ["Content-Length: " + "9" * 5_000]]
    + [["Content-Length: 5", "Content-Length: 6"], ["Content-Length: \u0665"]],
)
def test_invalid_content_length_gets_400_and_closes_the_connection(echo_port, capsys, headers):
    response = exchange(echo_port, headers, "hello")

    assert response.startswith("HTTP/1.1 400 ")
    assert response.count("HTTP/1.1 ") == 1
    body = json.loads(response.partition("\r\n\r\n")[2])
    assert body["Code"] == "BadRequestError"
    assert body["Message"].startswith("Content-Length must be sent once, as a number")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("headers", "body"), [(["Content-Length: 5"], "hello"), ([], "")])
def test_body_with_a_valid_length_is_read(echo_port, headers, body):
    response = exchange(
        echo_port, ["Content-Type: application/json", "Connection: close", *headers], body
    )
    assert response.startswith("HTTP/1.1 200 ")
    assert response.partition("\r\n\r\n")[2] == body


def test_missing_table_is_distinguished_from_missing_dynamodb(
    environ, ports, capsys, dynamodb, tables
):
    environ.update(dynamodb.environ)
    with running(callback_base_url=network.url(ports["API_PORT"])) as simulator:
        environ.update(TWILIO_TASKROUTER_URL=simulator.url)
        for name in DEV:
            del environ[name]
        names = {"RESERVATIONS_TABLE": tables.reservations, "STATE_TABLE": "no-such-table"}
        environ.update(names)
        configure(ports["API_PORT"], stage="local")

    error = capsys.readouterr().err
    assert (
        f"DynamoDB at {environ['AWS_ENDPOINT_URL_DYNAMODB']} has no table no-such-table." in error
    )
    assert "chalice local --stage local" in error
    assert "not respond" not in error


def test_missing_base_url_for_a_stage_with_an_account_is_reported(environ, ports, capsys):
    sids = {"TWILIO_WORKSPACE_SID": "WS" + "2" * 32, "TWILIO_WORKFLOW_SID": "WW" + "3" * 32}
    environ.update(sids, TWILIO_ACCOUNT_SID=ACCOUNT, **AWS)

    configure(ports["API_PORT"])
    url_error = capsys.readouterr().err
    environ["PUBLIC_BASE_URL"] = "https://tunnel.example"
    configure(ports["API_PORT"])

    assert url_error.startswith("PUBLIC_BASE_URL is not set, so no Twilio signature can match.")
    assert url_error.count("\n") == 1
    assert capsys.readouterr().err == ""


def test_output_for_a_stage_with_an_account_names_its_tables_and_region(environ, ports, capsys):
    sids = {"TWILIO_WORKSPACE_SID": "WS" + "2" * 32, "TWILIO_WORKFLOW_SID": "WW" + "3" * 32}
    environ.update(sids, TWILIO_ACCOUNT_SID=ACCOUNT, **AWS)

    configure(ports["API_PORT"])

    assert capsys.readouterr().out == (
        f"Stage dev: Twilio account {ACCOUNT}, DynamoDB tables "
        "taskrouter-callbacks-dev-reservations and taskrouter-callbacks-dev-state in AWS region "
        "eu-west-1.\n"
    )
    assert environ["RESERVATIONS_TABLE"] == DEV["RESERVATIONS_TABLE"]


def test_stage_with_an_account_but_without_a_workspace_is_rejected(environ, ports):
    environ["TWILIO_ACCOUNT_SID"] = ACCOUNT

    with pytest.raises(config.SettingsError, match="TWILIO_WORKSPACE_SID is not set"):
        configure(ports["API_PORT"])


def test_stage_with_an_account_but_without_a_region_is_rejected(environ, ports):
    sids = {"TWILIO_WORKSPACE_SID": "WS" + "2" * 32, "TWILIO_WORKFLOW_SID": "WW" + "3" * 32}
    environ.update(sids, TWILIO_ACCOUNT_SID=ACCOUNT, AWS_CONFIG_FILE=os.devnull)

    with pytest.raises(OperatorError, match="No AWS region is set"):
        configure(ports["API_PORT"])


@pytest.mark.parametrize("options", [[], ["--stage", "dev", "--port=8123", "--no-autoreload"]])
def test_remedy_for_conflicting_variables_repeats_the_command_line(
    environ, ports, capsys, monkeypatch, options
):
    environ["TWILIO_AUTH_TOKEN"] = "secret"
    monkeypatch.setattr(sys, "argv", ["/bin/chalice", "local", *options])

    configure(ports["API_PORT"])

    error = capsys.readouterr().err
    line = " ".join(["chalice local", *options])
    assignments = " ".join(f"{name}={port}" for name, port in ports.items())
    assert f"\n  {assignments} env -u TWILIO_AUTH_TOKEN {line}\n" in error
    assert "secret" not in error


@pytest.mark.parametrize(
    "options", ["--port 9", "--port=9", "--host 192.0.2.1 --port 9 --stage dev"]
)
def test_remedy_for_an_unavailable_address_keeps_the_other_options(
    environ, ports, monkeypatch, options
):
    monkeypatch.setattr(sys, "argv", ["/bin/chalice", "local", *options.split()])

    with pytest.raises(OperatorError) as raised:
        configure(ports["API_PORT"], host="192.0.2.1")

    stage = " --stage dev" if "--stage" in options else ""
    command = f"chalice local --host ADDRESS --port N{stage}"
    assert str(raised.value).endswith(f": {command}")


class ForeignHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.response
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  the name that http.server calls

    def log_message(self, *_):
        pass


@pytest.fixture
def foreign_server():
    """An HTTP server that is neither the simulator nor DynamoDB."""
    with HTTPServer(("127.0.0.1", 0), ForeignHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "response",
    [
        (200, b"<html>"),
        (200, b"{}"),
        (404, b"{}"),
        (403, b'{"message": "x"}'),
        (500, b""),
        (200, b"[]"),
        (200, b"null"),
    ],
)
@pytest.mark.parametrize(
    ("variable", "service"),
    [("SIMULATOR_PORT", "the TaskRouter simulator"), ("DYNAMODB_PORT", "DynamoDB")],
)
def test_unexpected_program_on_the_port_of_a_service_is_reported(  # noqa: PLR0917  fixtures
    environ, ports, capsys, foreign_server, response, variable, service
):
    foreign_server.response = response
    environ[variable] = str(foreign_server.server_port)

    configure(ports["API_PORT"])

    assert capsys.readouterr().err.startswith(
        f"The program at http://127.0.0.1:{foreign_server.server_port} is not {service}. Stop that "
        f"program, or set {variable} to another port"
    )


def test_swapped_urls_of_the_services_are_detected(environ, ports, capsys, dynamodb):
    with running(callback_base_url=network.url(ports["API_PORT"])) as simulator:
        environ["AWS_ENDPOINT_URL_DYNAMODB"] = simulator.url
        environ["TWILIO_TASKROUTER_URL"] = dynamodb.environ["AWS_ENDPOINT_URL_DYNAMODB"]
        configure(ports["API_PORT"])

    assert "is not the TaskRouter simulator. Stop that" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_child_process_ends_with_its_parent(number):
    child = (
        "import time; from local import chalice_local; chalice_local._exit_with_parent(); "
        "print('ready', flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=config.PROJECT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"

        process.send_signal(number)

        # The child inherited the pipe, which closes when the child exits.
        assert process.stdout.read() == b""


def test_missing_credentials_for_a_stage_with_an_account_are_reported(environ, ports, monkeypatch):
    monkeypatch.setattr("boto3.Session.get_credentials", lambda _session: None)
    sids = {"TWILIO_WORKSPACE_SID": "WS" + "2" * 32, "TWILIO_WORKFLOW_SID": "WW" + "3" * 32}
    environ.update(sids, TWILIO_ACCOUNT_SID=ACCOUNT, AWS_DEFAULT_REGION="eu-west-1")

    with pytest.raises(OperatorError, match="No AWS credentials were found"):
        configure(ports["API_PORT"])


def test_error_for_a_port_other_than_api_port_shows_the_correct_command(
    environ, ports, monkeypatch
):
    environ["API_PORT"] = "9150"
    monkeypatch.setattr(sys, "argv", ["/bin/chalice", "local", "--port", "8000", "--stage", "dev"])

    with pytest.raises(OperatorError) as raised:
        configure(ports["API_PORT"])

    assert str(raised.value) == (
        f"API_PORT is 9150, but `chalice local` would listen on port {ports['API_PORT']}. "
        "Run: chalice local --port 9150 --stage dev"
    )


def test_port_in_use_is_reported_before_the_server_starts(environ):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environ["API_PORT"] = str(port)

        with pytest.raises(OperatorError, match=rf"can't listen on 127\.0\.0\.1:{port}"):
            configure(port)


def test_unavailable_address_is_not_blamed_on_another_program(environ, ports):
    with pytest.raises(OperatorError) as raised:
        configure(ports["API_PORT"], host="192.0.2.1")

    assert "Choose another address or port" in str(raised.value)
    assert "Stop the program" not in str(raised.value)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_invalid_port_is_reported(environ, port):
    with pytest.raises(OperatorError, match="--port must be a port from 1 to 65535"):
        configure(port)


def test_missing_services_are_not_reported_if_the_whole_stack_is_starting(environ, ports, capsys):
    environ["LOCAL_STACK_STARTED_TOGETHER"] = "true"

    configure(ports["API_PORT"])

    assert capsys.readouterr().err == ""


def test_chalice_local_does_not_import_packages_needed_only_by_services_or_tests():
    program = (
        "import sys, local.chalice_local; "
        "print({name.partition('.')[0] for name in sys.modules} & "
        "{'starlette', 'uvicorn', 'ministack', 'hypercorn', 'lark', 'aiohttp', 'pytest'})"
    )

    imported = subprocess.run(
        [sys.executable, "-c", program], cwd=config.PROJECT, capture_output=True, check=True
    )

    assert imported.stdout == b"set()\n"


def test_error_for_a_misspelled_stage_suggests_the_nearest_name(environ, ports):
    with pytest.raises(OperatorError, match="no stage 'dve' .* Did you mean dev"):
        configure(ports["API_PORT"], stage="dve")


def test_only_changes_to_source_and_configuration_files_restart_the_server(tmp_path):
    class Watcher:
        pass

    def poll():
        restarts = []
        chalice_local._poll_sources(watcher, str(tmp_path), lambda: restarts.append(1))
        return len(restarts)

    watcher = Watcher()
    for name in ("package/__pycache__", ".chalice", ".venv"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "app.py").touch()
    assert poll() == 0
    for name in ("package/__pycache__/a.pyc", ".venv/a.py", "notes.md"):
        (tmp_path / name).touch()
        assert poll() == 0
    for name in ("package/a.py", ".chalice/config.json", "rules.toml"):
        (tmp_path / name).touch()
        assert (poll(), poll()) == (1, 0)
    os.utime(tmp_path / "app.py", (1, 1))
    assert (poll(), poll()) == (1, 0)
    (tmp_path / "app.py").unlink()
    assert (poll(), poll()) == (1, 0)


def settings_with(**variables):
    return config.load(stage_config.environment("local", variables))


@contextlib.contextmanager
def guarded(**variables):
    app = Chalice("app")
    app.route("/")(lambda: Response({"secret": 1}))
    app.register_middleware(chalice_local.guard(settings_with(**variables)), "http")
    with Client(app) as client:
        yield lambda **headers: client.http.get("/", headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8000", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8002"},
        {"Host": "127.0.0.1:8000", "Origin": "null"},
        {"Host": "["},
    ],
)
def test_request_with_a_foreign_host_or_origin_gets_403_in_the_api_error_format(headers):
    with guarded() as get:
        response = get(**headers)

    assert response.status_code == 403
    body = json.loads(response.body)
    assert body["Code"] == "ForbiddenError"
    assert body["Message"].startswith(FOREIGN)
    assert b"secret" not in response.body


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({}, {"Host": "127.0.0.1:8000"}),
        ({}, {"Host": "api:8000"}),
        ({"PUBLIC_BASE_URL": "https://tunnel.example/api"}, {"Host": "tunnel.example"}),
        ({"CORS_ALLOW_ORIGIN": "http://127.0.0.1:5173"}, {"Origin": "http://127.0.0.1:5173"}),
        ({"CORS_ALLOW_ORIGIN": "*"}, {"Origin": "https://anything.example"}),
    ],
)
def test_requests_from_programs_and_tunnels_and_from_allowed_pages_are_served(variables, headers):
    with guarded(**variables) as get:
        assert get(**headers).status_code == 200
