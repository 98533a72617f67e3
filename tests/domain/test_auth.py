"""The code grants exactly the permissions that docs/security.md lists."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import auth
from chalicelib.domain.auth import Action, Principal, Role, Scope
from chalicelib.domain.errors import Forbidden
from chalicelib.domain.instructions import parse_instruction
from tests.domain.instruction_table import REQUIRED, TABLE, Row
from tests.support import sid

SETTINGS = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
DOCUMENTED = {
    (Role(role), Action(action)): Scope(scope)
    for role, action, scope in re.findall(
        r"^\| (\w+) \| ([\w ]+) \| (own Worker|any Worker) \|$", SECURITY, re.MULTILINE
    )
}
OWN_WORKER, OTHER_WORKER = sid("WK"), sid("WK")


def is_allowed(principal: Principal, action: Action, worker_sid: str | None) -> bool:
    try:
        principal.authorize(action, worker_sid=worker_sid)
    except Forbidden:
        return False
    return True


def test_documented_table_has_every_role() -> None:
    assert {role for role, _ in DOCUMENTED} == set(Role)


def test_documented_table_matches_the_permissions() -> None:
    permissions = {
        (role, action): scope
        for role, actions in auth.PERMISSIONS.items()
        for action, scope in actions.items()
    }
    assert permissions == DOCUMENTED


@given(
    role=st.sampled_from(Role),
    action=st.sampled_from(Action),
    own_worker_sid=st.sampled_from([OWN_WORKER, None]),
    owner=st.sampled_from([OWN_WORKER, OTHER_WORKER, None]),
)
def test_authorize_matches_the_documented_table(
    role: Role, action: Action, own_worker_sid: str | None, owner: str | None
) -> None:
    principal = Principal(role, worker_sid=own_worker_sid)
    scope = DOCUMENTED.get((role, action))

    expected = scope is Scope.ANY_WORKER or (
        scope is Scope.OWN_WORKER and own_worker_sid is not None and owner in (own_worker_sid, None)
    )

    assert is_allowed(principal, action, owner) is expected


@given(role=st.sampled_from(Role), action=st.sampled_from(Action))
def test_confined_to_matches_the_documented_table(role: Role, action: Action) -> None:
    principal = Principal(role, worker_sid=OWN_WORKER)
    scope = DOCUMENTED.get((role, action))

    if scope is None:
        with pytest.raises(Forbidden, match=f"role {role} may not {action}"):
            principal.confined_to(action)
    else:
        expected = OWN_WORKER if scope is Scope.OWN_WORKER else None
        assert principal.confined_to(action) == expected


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_role_without_permissions_is_denied_every_action(
    monkeypatch: pytest.MonkeyPatch, role: Role, action: Action
) -> None:
    permissions = {key: value for key, value in auth.PERMISSIONS.items() if key is not role}
    monkeypatch.setattr(auth, "PERMISSIONS", permissions)

    for worker_sid in (OWN_WORKER, OTHER_WORKER, None):
        assert not is_allowed(Principal(role, worker_sid=OWN_WORKER), action, worker_sid)


def test_error_for_another_worker_names_role_and_action() -> None:
    principal = Principal(Role.WORKER, worker_sid=OWN_WORKER)

    message = "role worker may accept a Reservation only for its own Worker"
    with pytest.raises(Forbidden, match=message):
        principal.authorize(Action.ACCEPT_RESERVATION, worker_sid=OTHER_WORKER)


@pytest.mark.parametrize(
    ("principal", "name"),
    [
        (Principal(Role.WORKER, worker_sid=OWN_WORKER, identity="alice"), f"worker:{OWN_WORKER}"),
        (Principal(Role.SUPERVISOR, identity="ann"), "supervisor:ann"),
        (Principal(Role.SERVICE), "service"),
    ],
)
def test_name_contains_the_role_and_the_worker_sid_or_identity_if_any(
    principal: Principal, name: str
) -> None:
    assert principal.name == name


def test_documented_worker_instructions_are_the_default() -> None:
    _, _, section = SETTINGS.partition("### Instructions of Workers")
    documented = json.loads(section.split("```")[1].removeprefix("json"))
    assert documented == json.loads(auth.WORKER_INSTRUCTIONS)


@given(
    role=st.sampled_from(Role),
    row=st.sampled_from([row for row in TABLE if row.instruction != "reject"]),
    free=st.sets(st.sampled_from(sorted({row.name for row in TABLE}))),
    own_values=st.dictionaries(st.sampled_from(["to", "call_sid"]), st.just("own")),
)
def test_only_workers_are_limited_to_free_parameters_and_own_values(
    role: Role, row: Row, free: set[str], own_values: dict[str, str]
) -> None:
    values = {**REQUIRED.get(row.instruction, {}), row.name: row.valid_values[0]}
    instruction = parse_instruction({"instruction": row.instruction, **values})
    principal = Principal(role, worker_sid=OWN_WORKER)
    permissions = {row.instruction: frozenset(free)}
    own_values = {name: values.get(name, "") for name in own_values}
    expected = role is not Role.WORKER or values.keys() <= free | own_values.keys()

    try:
        principal.authorize_instruction(instruction, permissions, own_values)
        allowed = True
    except Forbidden:
        allowed = False

    assert allowed is expected
