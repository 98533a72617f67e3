"""The code grants exactly the permissions that docs/security.md and docs/settings.md list."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import auth
from chalicelib.domain.auth import (
    OWN_VALUES,
    Action,
    Principal,
    Role,
    Scope,
    parse_instruction_permissions,
)
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
def test_principal_is_authorized_exactly_as_documented(
    role: Role, action: Action, own_worker_sid: str | None, owner: str | None
) -> None:
    principal = Principal(role, worker_sid=own_worker_sid)
    scope = DOCUMENTED.get((role, action))

    expected = scope is Scope.ANY_WORKER or (
        scope is Scope.OWN_WORKER and own_worker_sid is not None and owner in (own_worker_sid, None)
    )

    assert is_allowed(principal, action, owner) is expected


@given(role=st.sampled_from(Role), action=st.sampled_from(Action))
def test_principal_is_confined_to_its_own_worker_exactly_as_documented(
    role: Role, action: Action
) -> None:
    principal = Principal(role, worker_sid=OWN_WORKER)
    scope = DOCUMENTED.get((role, action))

    if scope is None:
        with pytest.raises(Forbidden, match=f"`{role}` role may not {action}"):
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


def test_error_for_another_worker_states_the_role_and_the_action() -> None:
    principal = Principal(Role.WORKER, worker_sid=OWN_WORKER)

    message = "`worker` role may accept a Reservation only for its own Worker"
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
def test_principal_name_has_the_role_and_the_worker_sid_or_the_identity_if_present(
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
    permitted=st.sets(st.sampled_from(sorted({row.name for row in TABLE}))),
    own_values=st.dictionaries(st.sampled_from(["to", "call_sid"]), st.just("own")),
)
def test_only_workers_are_limited_to_permitted_parameters_and_own_values(
    role: Role, row: Row, permitted: set[str], own_values: dict[str, str]
) -> None:
    values = {**REQUIRED.get(row.instruction, {}), row.name: row.valid_values[0]}
    instruction = parse_instruction({"instruction": row.instruction, **values})
    principal = Principal(role, worker_sid=OWN_WORKER)
    permissions = {row.instruction: frozenset(permitted)}
    own_values = {name: values.get(name, "") for name in own_values}
    expected = role is not Role.WORKER or values.keys() <= permitted | own_values.keys()

    try:
        principal.authorize_instruction(instruction, permissions, own_values)
        allowed = True
    except Forbidden:
        allowed = False

    assert allowed is expected


def test_only_the_worker_role_requires_a_worker_sid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {role: role.has_worker for role in Role} == {
        Role.WORKER: True,
        Role.SUPERVISOR: False,
        Role.SERVICE: False,
    }
    monkeypatch.setattr(auth, "PERMISSIONS", {})
    assert not any(role.has_worker for role in Role)


def test_worker_instructions_are_parsed_into_sets_of_parameters() -> None:
    assert parse_instruction_permissions(auth.WORKER_INSTRUCTIONS) == {
        "dequeue": {"from", "timeout", "post_work_activity_sid"},
        "call": {"from", "timeout", "accept"},
        "redirect": {"accept"},
        "conference": {
            *("from", "timeout", "post_work_activity_sid", "muted", "beep"),
            *("start_conference_on_enter", "end_conference_on_exit"),
            *("end_conference_on_customer_exit", "beep_on_customer_entrance", "early_media"),
            *("max_participants", "region", "jitter_buffer_size"),
            *("sip_auth_username", "sip_auth_password"),
        },
    }
    assert parse_instruction_permissions('{"call": []}') == {"call": frozenset()}
    assert parse_instruction_permissions("{}") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a valid JSON object: it has a syntax error"),
        ("[]", "is not a valid JSON object: it is an array"),
        ('{"deqeue": []}', 'must not contain the instruction "deqeue": write dequeue'),
        (
            '{"accept": []}',
            (
                'must not contain the instruction "accept": '
                "write one of dequeue, call, redirect, conference"
            ),
        ),
        ('{"call": "from"}', 'must map "call" to a list of parameters'),
        ('{"call": {}}', 'must map "call" to a list of parameters'),
        (
            '{"call": ["from", "CallTimeout"]}',
            (
                'must not list "CallTimeout" for the "call" instruction, '
                "which has no such parameter: write timeout"
            ),
        ),
        (
            '{"redirect": ["\\u00e9"]}',
            (
                'must not list "\u00e9" for the "redirect" instruction, '
                "which has no such parameter: write one of call_sid, url, accept"
            ),
        ),
        (
            '{"redirect": [1]}',
            (
                'must not list "1" for the "redirect" instruction, '
                "which has no such parameter: write one of call_sid, url, accept"
            ),
        ),
    ],
)
def test_error_explains_how_to_write_the_worker_instructions(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_instruction_permissions(text)


DEQUEUE = {"instruction": "dequeue", "to": "client:alice", "timeout": 30}
REDIRECT = {"instruction": "redirect", "call_sid": "CA" + "0" * 32, "url": "https://a.example"}


@pytest.mark.parametrize(
    ("mapping", "permissions", "message"),
    [
        (DEQUEUE, {}, "may not send the `dequeue` instruction."),
        (DEQUEUE, {"call": {"timeout"}}, "may not send the `dequeue` instruction."),
        (DEQUEUE, {"dequeue": {"to"}}, "may not set `timeout` in the `dequeue` instruction."),
        (
            DEQUEUE,
            {"dequeue": {"timeout"}},
            "may set `to` in the `dequeue` instruction only to the contact_uri of its Worker.",
        ),
        (
            REDIRECT,
            {"redirect": {"url"}},
            (
                "may set `call_sid` in the `redirect` instruction only to "
                "the call_sid of the Reservation's Task."
            ),
        ),
    ],
)
def test_error_names_the_forbidden_part_of_a_workers_instruction(
    mapping: dict[str, object], permissions: dict[str, set[str]], message: str
) -> None:
    instruction = parse_instruction(mapping)
    allowed = {name: frozenset(parameters) for name, parameters in permissions.items()}
    for own_values in ({}, {"to": "client:bob", "call_sid": None}):
        with pytest.raises(Forbidden) as raised:
            Principal(Role.WORKER, worker_sid=OWN_WORKER).authorize_instruction(
                instruction, allowed, own_values
            )
        assert raised.value.message == f"A token with the `worker` role {message}"
    for role in (Role.SUPERVISOR, Role.SERVICE):
        Principal(role).authorize_instruction(instruction, allowed, {})


@pytest.mark.parametrize("mapping", [DEQUEUE, REDIRECT], ids=["to", "call_sid"])
def test_worker_may_set_a_parameter_to_the_workers_own_value(mapping: dict[str, object]) -> None:
    own_values = {name: mapping.get(name, "other") for name in OWN_VALUES}
    Principal(Role.WORKER, worker_sid=OWN_WORKER).authorize_instruction(
        parse_instruction(mapping),
        {str(mapping["instruction"]): frozenset({"timeout", "url"})},
        own_values,
    )
