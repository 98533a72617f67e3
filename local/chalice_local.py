"""Prepares the app for `chalice local`.

This module selects settings, checks addresses, and adds a middleware that refuses requests from
cross-origin pages.
"""

import errno
import json
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import click
from chalice import local
from chalice.app import Chalice, Request, Response
from chalice.cli.filewatch.stat import StatFileWatcher

from chalicelib import config, observability, runtime
from chalicelib.domain.errors import BadRequest, Forbidden
from chalicelib.routes.callbacks import move_twilio_routes
from infra import OperatorError
from infra.aws import require_credentials, require_region, stage_config
from local import dynamodb, network, send_again, stack
from local.callback_log import MemoryCallbackLog
from taskrouter_simulator.origins import FOREIGN, NOT_LOCAL, is_foreign, is_loopback

ACCEPT_QUEUE_SIZE = 128
"""Maximum number of connections that wait to be accepted."""

_CONTENT_LENGTH = re.compile("[0-9]{1,9}")

_PARENT_POLL_SECONDS = 0.2

_SOURCE_SUFFIXES = (".py", ".json", ".toml", ".env")

_WILDCARDS = ("", "0.0.0.0")  # noqa: S104  compared, not bound

Middleware = Callable[[Request, Callable[[Request], Response]], Response]


def use_api_port(default: int) -> None:
    """Restart `chalice local` on API_PORT if API_PORT is not the default port.

    Chalice's port can't be changed after Chalice has read its options.

    Raises:
        StackError: API_PORT is not a port.
    """
    port = os.environ.get("API_PORT") or str(default)
    stack.check_port("API_PORT", port)
    if port != str(default):
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.argv, "--port", port])  # noqa: S606


def configure(app: Chalice, *, stage: str, host: str, port: int) -> None:
    """Prepare the app to be served by `chalice local`.

    A stage without a Twilio account is served with the settings of the stage "local".

    Args:
        app: The imported app.
        stage: The stage whose variables Chalice has copied to the environment.
        host: The address that `chalice local` listens on.
        port: The port that `chalice local` listens on.

    Raises:
        OperatorError: There is no such stage, the port is invalid or not available, or no AWS
            region or credentials are set.
        SettingsError: A setting is missing or malformed.
    """
    if "CHALICE_WORKER" in os.environ:
        _exit_with_parent()
    stage_variables = stage_config.environment(stage, {})
    _check_address(host, port)
    if stage == stack.STAGE or not os.environ.get("TWILIO_ACCOUNT_SID", "").strip():
        for name in stage_variables:
            os.environ.pop(name, None)
        settings = _use_local_services(stage, host, port)
        own_host = network.LOOPBACK if host in _WILDCARDS else host
        send_again.register(app, base_url=f"http://{own_host}:{port}")
    else:
        settings = _use_deployed_services(stage)
    _tune_server()
    _hide_secrets_in_access_log(settings)
    app.register_middleware(guard(settings), "http")
    _store_callback_log()
    move_twilio_routes(app, settings.callback_prefixes)


def _store_callback_log() -> None:
    """Store the log lines of callbacks in memory, because they are not sent to CloudWatch Logs."""
    log = MemoryCallbackLog()
    runtime.use(runtime.build(local_log=log))
    observability.copy_lines(log)


def _exit_with_parent() -> None:
    """Exit when the parent process ends, even if it is killed.

    With --autoreload, Chalice serves the app in a child process, which would otherwise keep the
    port.
    """
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_SECONDS)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def _check_address(host: str, port: int) -> None:
    stack.check_port("--port", str(port))
    api_port = os.environ.get("API_PORT") or str(port)
    stack.check_port("API_PORT", api_port)
    if int(api_port) != port:
        raise OperatorError(
            f"API_PORT is {api_port}, but `chalice local` would listen on port {port}. "
            f"Run: {_command_line(port=api_port)}"
        )
    if reason := network.bind_failure(port, host):
        remedy = (
            "Stop the program that uses the port, or choose another port: "
            + _command_line(port="N")
            if reason == os.strerror(errno.EADDRINUSE)
            else f"Choose another address or port: {_command_line(host='ADDRESS', port='N')}"
        )
        raise OperatorError(f"`chalice local` can't listen on {host}:{port} ({reason}). {remedy}")


def _command_line(**options: str) -> str:
    """Return the user's command line with different values for some options."""
    line = shlex.join(["chalice", *sys.argv[1:]])
    for name in options:
        line = re.sub(rf" --{name}[ =]\S+", "", line)
    added = "".join(f" --{name} {value}" for name, value in options.items())
    return line.replace(" local", f" local{added}", 1)


def _use_deployed_services(stage: str) -> config.Settings:
    settings = config.load()
    session = boto3.Session()
    region = require_region(session)
    require_credentials(session)
    click.echo(
        f"Stage {stage}: Twilio account {settings.twilio_account_sid}, DynamoDB tables "
        f"{settings.reservations_table} and {settings.state_table} in AWS region {region}."
    )
    if not settings.public_base_url:
        click.echo(
            "PUBLIC_BASE_URL is not set, so no Twilio signature can match. Set it to the URL at "
            "which Twilio reaches this API, such as the URL of a tunnel.",
            err=True,
        )
    return settings


def _use_local_services(stage: str, host: str, port: int) -> config.Settings:
    # boto3 fails if the profile does not exist, and local services need no profile.
    os.environ.pop("AWS_PROFILE", None)
    os.environ["API_PORT"] = str(port)
    if host not in _WILDCARDS and not is_loopback(host):
        os.environ.setdefault("PUBLIC_BASE_URL", f"http://{host}:{port}")
    described = stack.describe(os.environ)
    os.environ.update(described.environ)
    reason = "" if stage == stack.STAGE else f"Stage {stage} does not set TWILIO_ACCOUNT_SID. "
    click.echo(
        f"{reason}Using the local stage: TaskRouter simulator at "
        f"{described.settings.twilio_taskrouter_url}, DynamoDB at "
        f"{described.resolved['AWS_ENDPOINT_URL_DYNAMODB']}."
    )
    if stack.STARTED_TOGETHER in os.environ:
        # Skip the checks: other programs may not be ready yet, and `make run` reports conflicts.
        return described.settings
    if conflicts := stack.conflicting_variables(described, os.environ):
        click.echo(stack.conflict_warning(described, conflicts, _command_line()), err=True)
    if problem := _find_problem(described):
        click.echo(problem, err=True)
    return described.settings


def _find_problem(described: stack.Stack) -> str | None:
    """Return a message about a problem with the local services; None if there is no problem.

    Possible problems: a service does not respond, a different program responds, a table is missing,
    or the simulator posts its callbacks to a different URL. The message includes the remedy.
    """
    command = stack.services_command(described)
    taskrouter = described.settings.twilio_taskrouter_url
    database = described.resolved["AWS_ENDPOINT_URL_DYNAMODB"]
    try:
        service, variable = "the TaskRouter simulator", "SIMULATOR_PORT"
        simulator = _describe_simulator(taskrouter)
        service, variable = "DynamoDB", "DYNAMODB_PORT"
        missing_tables = dynamodb.find_missing_tables(database, described.tables)
    except network.ForeignProgramError:
        url = taskrouter if variable == "SIMULATOR_PORT" else database
        return (
            f"The program at {url} is not {service}. Stop that program, or set {variable} to "
            f"another port in this terminal and in a second one. In the second, run: {command}"
        )
    silent = [f"The TaskRouter simulator at {taskrouter}"] if simulator is None else []
    silent += [f"DynamoDB at {database}"] if missing_tables is None else []
    if silent:
        verb = "do" if len(silent) > 1 else "does"
        return f"{' and '.join(silent)} {verb} not respond. In another terminal, run: {command}"
    if missing_tables:
        return (
            f"DynamoDB at {database} has no table {' or '.join(missing_tables)}. Set "
            "RESERVATIONS_TABLE and STATE_TABLE to the same values as for the services, and run "
            "`chalice local --stage local`, because other stages override the shell's values."
        )
    base_url = stack.add_prefix(described.settings, described.settings.public_base_url)
    callback_base_url = str((simulator or {}).get("callback_base_url", base_url)).rstrip("/")
    if callback_base_url != base_url:
        shown, expected = stack.hide_secrets(callback_base_url), stack.hide_secrets(base_url)
        difference = (
            " with a secret other than the first value of CALLBACK_PATH_SECRETS"
            if shown == expected
            else f", not to {expected}"
        )
        return (
            f"The TaskRouter simulator posts its callbacks to {shown}{difference}. Restart the "
            f"simulator: {command}"
        )
    return None


def _describe_simulator(url: str) -> dict[str, Any] | None:
    """Return the simulator's description of itself; None if the simulator does not respond.

    The description is empty if the simulator refuses to send it to this machine.

    Raises:
        ForeignProgramError: A program other than the simulator responds.
    """
    try:
        try:
            response = network.DIRECT_OPENER.open(f"{url}/simulator", timeout=1)
        except HTTPError as error:
            response = error
        with response:
            described: Any = json.load(response)
    except (ConnectionError, HTTPException, ValueError) as error:
        raise network.ForeignProgramError from error
    except OSError:
        return None
    if described == {"message": NOT_LOCAL}:
        return {}
    if not (isinstance(described, dict) and "callback_base_url" in described):
        raise network.ForeignProgramError
    return described


def _tune_server() -> None:
    """Tune Chalice's server for concurrent clients; replace its parser and its file polling.

    By default, the server writes headers and body as two packets with Nagle's algorithm enabled.
    Every request on a keep-alive connection then waits about 40 ms for a delayed acknowledgment.
    The server's queue holds five connections, so most of 50 concurrent clients would have to retry.
    """
    local.ChaliceRequestHandler.disable_nagle_algorithm = True
    local.ChaliceRequestHandler.parse_request = _parse_request
    local.ThreadedHTTPServer.request_queue_size = ACCEPT_QUEUE_SIZE
    watcher: Any = StatFileWatcher
    watcher._single_pass_poll = _poll_sources  # noqa: SLF001  Chalice has no option for this


def _parse_request(handler: BaseHTTPRequestHandler) -> bool:
    """Parse the request line and the headers; refuse a body whose length is not known.

    By default, Chalice treats such a body as empty, and its bytes as the next request.
    """
    if not BaseHTTPRequestHandler.parse_request(handler):
        return False
    lengths = handler.headers.get_all("Content-Length", ["0"])
    if "Transfer-Encoding" in handler.headers:
        status, code = 411, "LengthRequired"
        message = "Send Content-Length. Only API Gateway accepts Transfer-Encoding."
    elif len(lengths) > 1 or not _CONTENT_LENGTH.fullmatch(lengths[0]):
        status, code = BadRequest.status, BadRequest.code
        message = "Content-Length must be sent once, as a number of at most 9 digits."
    else:
        return True
    body = json.dumps({"Code": code, "Message": message}).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")  # the following bytes can't be parsed
    handler.end_headers()
    handler.wfile.write(body)
    return False


def _hide_secrets_in_access_log(settings: config.Settings) -> None:
    """Make Chalice's access log show `***` instead of the secrets in callback paths."""
    secrets = [prefix.removeprefix("/") for prefix in settings.callback_prefixes if prefix]

    def log_message(handler: BaseHTTPRequestHandler, format: str, *values: Any) -> None:  # noqa: A002
        line = format % values
        for secret in secrets:
            line = line.replace(secret, "***")
        BaseHTTPRequestHandler.log_message(handler, "%s", line)

    local.ChaliceRequestHandler.log_message = log_message


def _poll_sources(watcher: Any, root: str, callback: Callable[[], None]) -> None:
    """Call *callback* if a source file has changed since this watcher's previous poll.

    Chalice's version restarts the server after a change to any file, such as the bytecode that
    Python writes when a request first imports a module. A restart interrupts requests in progress.
    """
    modified_at = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name == ".chalice" or name[0] != "."]
        for path in (Path(folder, name) for name in names if name.endswith(_SOURCE_SUFFIXES)):
            with suppress(OSError):
                modified_at[path] = path.stat().st_mtime
    previous, watcher.sources = getattr(watcher, "sources", modified_at), modified_at
    if modified_at != previous:
        callback()


def guard(settings: config.Settings) -> Middleware:
    """Return a middleware that refuses requests from cross-origin pages or for unknown hosts."""
    hosts = network.allowed_hosts(settings.public_base_url, os.environ)
    origins = {settings.cors_allow_origin} - {""}

    def refuse_cross_origin_pages(
        request: Request, get_response: Callable[[Request], Response]
    ) -> Response:
        host, origin = request.headers.get("host"), request.headers.get("origin")
        if not is_foreign(host, origin, allowed_hosts=hosts, allowed_origins=origins):
            return get_response(request)
        observability.bind(error=Forbidden.code)
        message = f"{FOREIGN} To accept pages from another origin, set CORS_ALLOW_ORIGIN."
        body = {"Code": Forbidden.code, "Message": message}
        return Response(body, status_code=Forbidden.status)

    return refuse_cross_origin_pages
