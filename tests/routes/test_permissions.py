"""Each protected route performs one action and denies roles without permission for the action."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from app import app
from chalicelib.adapters.twilio import access_tokens
from chalicelib.domain import auth
from chalicelib.domain.auth import Action, Role, Scope
from tests.routes.conftest import Api
from tests.support import sid

pytestmark = pytest.mark.usefixtures("tutorial")

SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
DOCUMENTED = {
    tuple(route.split()): Action(action)
    for action, routes in re.findall(
        r"^\| ([\w ]+) \| (`(?:GET|POST) /.*`) \|$", SECURITY, re.MULTILINE
    )
    for route in re.findall(r"`(.+?)`", routes)
}
WITHOUT_TOKEN = {
    ("POST", "/assignment_callback"),
    ("POST", "/assignment_callback/fallback"),
    ("POST", "/event_callback"),
    ("POST", "/incoming_call"),
    ("POST", "/enqueue_call"),
    ("POST", "/enqueue_call_again"),
    ("POST", "/left_queue"),
    ("GET", "/console"),
    ("GET", "/console/{version}/{name}"),
    ("GET", "/health"),
    ("GET", "/console/session"),
    ("POST", "/console/session"),
    ("GET", "/console/sign-in"),
    ("GET", "/console/callback"),
}
ROUTES = sorted(
    (method, path)
    for path, methods in app.routes.items()
    for method in methods
    if method != "OPTIONS" and (method, path) not in WITHOUT_TOKEN
)


class RoleWithAuditor(StrEnum):
    """The existing roles, plus an auditor without permissions."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    SERVICE = "service"
    AUDITOR = "auditor"

    has_worker = Role.has_worker


def status_of(api: Api, method: str, path: str, *, token: str) -> int:
    return api.call(method, path.replace("{sid}", sid("WR")), token=token).status_code


def test_routes_that_need_no_token_are_registered() -> None:
    registered = {(method, path) for path, methods in app.routes.items() for method in methods}
    assert registered >= WITHOUT_TOKEN


def test_every_route_that_requires_a_token_is_documented_with_its_action() -> None:
    assert sorted(DOCUMENTED) == ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_route_performs_only_its_documented_action(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    token = api.token("supervisor")
    allowed_actions = set()
    for action in Action:
        permissions = {Role.SUPERVISOR: {action: Scope.ANY_WORKER}}
        monkeypatch.setattr(auth, "PERMISSIONS", permissions)
        if status_of(api, method, path, token=token) != 403:
            allowed_actions.add(action)

    assert allowed_actions == {DOCUMENTED[method, path]}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_new_role_without_permissions_is_denied(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(access_tokens, "Role", RoleWithAuditor)

    assert status_of(api, method, path, token=api.token("supervisor")) != 403
    calls = api.taskrouter.calls.copy()
    assert status_of(api, method, path, token=api.token("auditor")) == 403
    assert api.taskrouter.calls == calls


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_existing_role_without_permissions_is_denied(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, role: Role
) -> None:
    token = api.token(role, worker_sid=sid("WK"))
    permissions = {key: value for key, value in auth.PERMISSIONS.items() if key is not role}
    monkeypatch.setattr(auth, "PERMISSIONS", permissions)

    assert status_of(api, method, path, token=token) == 403
    assert not api.taskrouter.calls
