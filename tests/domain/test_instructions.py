import json
from dataclasses import FrozenInstanceError

import pytest

from chalicelib.domain.instructions import (
    INSTRUCTION_TYPES,
    Accept,
    Call,
    Conference,
    Defer,
    Dequeue,
    InvalidInstruction,
    Redirect,
    Reject,
    parse_instruction,
)
from tests.domain.instruction_table import CA, REQUIRED, TABLE, WA, Row

ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.instruction}.{row.name}")
URL = "https://example.com/twiml"


def mapping_with(row: Row, value: object) -> dict[str, object]:
    return {**REQUIRED.get(row.instruction, {}), "instruction": row.instruction, row.name: value}


def messages(mapping: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidInstruction) as error:
        parse_instruction(mapping)
    return [fault.message for fault in error.value.errors]


@ROWS
def test_documented_value_is_rendered_unchanged(row: Row) -> None:
    for value in row.valid_values:
        mapping = mapping_with(row, value)
        assert parse_instruction(mapping).answer == mapping
        assert json.loads(json.dumps(parse_instruction(mapping).answer)) == mapping


@ROWS
def test_rest_form_has_value_under_its_rest_name(row: Row) -> None:
    for value in row.valid_values:
        sent = parse_instruction(mapping_with(row, value)).rest_form()[row.rest]
        if isinstance(value, bool):
            assert sent == str(value).lower()
        elif "status_callback_event" in row.name:
            assert sent == value.split(",")
        else:
            assert sent == value


@ROWS
def test_invalid_value_is_refused_with_name_and_allowed_values(row: Row) -> None:
    for value in row.invalid_values:
        assert messages(mapping_with(row, value)) == [f"{row.name} must be {row.must_be}."]


@ROWS
def test_only_required_parameters_are_reported_missing(row: Row) -> None:
    mapping = mapping_with(row, row.valid_values[0])
    del mapping[row.name]
    if row.required:
        assert messages(mapping) == [f"{row.instruction} needs {row.name}: {row.must_be}."]
    else:
        assert row.name not in parse_instruction(mapping).answer
        assert row.rest not in parse_instruction(mapping).rest_form()


def test_definitions_equal_the_documented_table() -> None:
    documented = {(row.instruction, row.name, row.rest, row.required, row.default) for row in TABLE}
    assert documented == {
        (kind.name, name, parameter.rest_name, parameter.required, parameter.default)
        for kind in INSTRUCTION_TYPES.values()
        for name, parameter in kind.parameters().items()
    }


@pytest.mark.parametrize(
    ("instruction", "answer", "form"),
    [
        (Defer(), {}, {}),
        (Accept(), {"instruction": "accept"}, {"ReservationStatus": "accepted"}),
        (Reject(), {"instruction": "reject"}, {"ReservationStatus": "rejected"}),
        (Dequeue(), {"instruction": "dequeue"}, {"Instruction": "dequeue"}),
        (
            Call(from_="joey", url=URL),
            {"instruction": "call", "from": "joey", "url": URL},
            {"Instruction": "call", "CallFrom": "joey", "CallUrl": URL},
        ),
        (
            Redirect(call_sid=CA, url=URL, accept=False),
            {"instruction": "redirect", "call_sid": CA, "url": URL, "accept": False},
            {
                "Instruction": "redirect",
                "RedirectCallSid": CA,
                "RedirectUrl": URL,
                "RedirectAccept": "false",
            },
        ),
        (Conference(), {"instruction": "conference"}, {"Instruction": "conference"}),
    ],
)
def test_absent_parameter_is_not_rendered(instruction, answer, form) -> None:
    assert instruction.answer == answer
    assert instruction.rest_form() == form


@pytest.mark.parametrize(
    ("instruction", "accepts"),
    [
        (Defer(), False),
        (Accept(), True),
        (Reject(activity_sid=WA), False),
        (Dequeue(), True),
        (Conference(), True),
        (Call(from_="joey", url=URL), False),
        (Call(from_="joey", url=URL, accept=False), False),
        (Call(from_="joey", url=URL, accept=True), True),
        (Redirect(call_sid=CA, url=URL), False),
        (Redirect(call_sid=CA, url=URL, accept=True), True),
    ],
)
def test_call_and_redirect_accept_only_if_accept_is_true(instruction, accepts) -> None:
    assert instruction.accepts is accepts


def test_defer_instruction_is_parsed() -> None:
    assert parse_instruction({"instruction": "defer"}) == Defer()


ALL = "defer, accept, reject, dequeue, call, redirect, conference"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, f"instruction is missing. Use one of {ALL}."),
        ({"instruction": ["accept"]}, f"instruction must be a string, one of {ALL}."),
        (
            {"instruction": "deqeue", "from": 5},
            'There is no instruction "deqeue"; did you mean dequeue?',
        ),
        (
            {"instruction": "supervise"},
            f'There is no instruction "supervise"; use one of {ALL}.',
        ),
        (
            {"instruction": "dequeue", "post_work_activity": WA},
            "dequeue has no parameter post_work_activity; did you mean post_work_activity_sid?",
        ),
        (
            {"instruction": "redirect", "call_sid": CA, "url": URL, "zebra": 1},
            "redirect has no parameter zebra; use one of call_sid, url, accept.",
        ),
        (
            {"instruction": "accept", "to": "joey"},
            "accept has no parameter to; it has no parameters.",
        ),
        ({"instruction": "dance" * 9999}, "dance" * 12 + "danc"),
    ],
)
def test_unknown_name_is_refused_with_a_suggestion(mapping, message: str) -> None:
    (error,) = messages(mapping)
    assert message in error
    assert len(error) < 200


@pytest.mark.parametrize("to", ["sip:joey@example.com", "SIPS:joey@example.com"])
def test_dequeue_to_sip_address_rings_for_at_most_600_seconds(to: str) -> None:
    assert Dequeue(to=to, timeout=600).answer["timeout"] == 600
    assert messages({"instruction": "dequeue", "to": to, "timeout": 601}) == [
        "timeout must be at most 600 if to is a SIP address."
    ]


def test_all_errors_are_reported_at_once() -> None:
    assert messages({"instruction": "call", "url": "x", "timeout": 0, "form": "joey"}) == [
        "call has no parameter form; did you mean from?",
        "call needs from: a phone number such as +15556667777, client:NAME, or sip:USER@HOST.",
        "url must be a URL that begins with https:// or http://.",
        "timeout must be a whole number from 1 to 999, without quotes.",
    ]


def test_error_never_contains_a_value() -> None:
    with pytest.raises(InvalidInstruction) as error:
        parse_instruction({"instruction": "dequeue", "to": "tel:secret"})
    assert "secret" not in str(error.value)
    assert "secret" not in repr(Conference(sip_auth_password="secret"))


def test_instruction_is_validated_and_immutable() -> None:
    with pytest.raises(InvalidInstruction, match="timeout must be"):
        Dequeue(timeout=1000)
    with pytest.raises(FrozenInstanceError):
        Dequeue().timeout = 5
