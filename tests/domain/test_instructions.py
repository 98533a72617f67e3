"""Validation of instructions, and their rendering as answers and REST forms."""

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
    without_secrets,
)
from tests.domain.instruction_table import CA, DESCRIPTIONS, REQUIRED, TABLE, WA, Row

ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.instruction}.{row.name}")
URL = "https://example.com/twiml"


def mapping_with(row: Row, value: object) -> dict[str, object]:
    return {**REQUIRED.get(row.instruction, {}), "instruction": row.instruction, row.name: value}


def error_messages(mapping: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidInstruction) as error:
        parse_instruction(mapping)
    return [problem.message for problem in error.value.errors]


@ROWS
def test_valid_value_is_rendered_unchanged(row: Row) -> None:
    for value in row.valid_values:
        mapping = mapping_with(row, value)
        assert parse_instruction(mapping).answer == mapping
        assert json.loads(json.dumps(parse_instruction(mapping).answer)) == mapping


@ROWS
def test_rest_form_contains_the_value_under_its_rest_name(row: Row) -> None:
    for value in row.valid_values:
        form_value = parse_instruction(mapping_with(row, value)).rest_form()[row.rest_name]
        if isinstance(value, bool):
            assert form_value == str(value).lower()
        elif "status_callback_event" in row.name:
            assert form_value == value.split(",")
        else:
            assert form_value == value


@ROWS
def test_error_for_an_invalid_value_describes_the_allowed_values(row: Row) -> None:
    for value in row.invalid_values:
        assert error_messages(mapping_with(row, value)) == [
            f"{row.name} must be {row.allowed_values}."
        ]


@ROWS
def test_only_required_parameters_are_reported_as_missing(row: Row) -> None:
    mapping = mapping_with(row, row.valid_values[0])
    del mapping[row.name]
    if row.required:
        assert error_messages(mapping) == [
            f"The `{row.instruction}` instruction requires `{row.name}`: {row.allowed_values}."
        ]
    else:
        assert row.name not in parse_instruction(mapping).answer
        assert row.rest_name not in parse_instruction(mapping).rest_form()


def test_definitions_match_the_documented_table() -> None:
    documented = {
        (row.instruction, row.name, row.rest_name, row.required, row.default) for row in TABLE
    }
    assert documented == {
        (instruction_type.name, name, parameter.rest_name, parameter.required, parameter.default)
        for instruction_type in INSTRUCTION_TYPES.values()
        for name, parameter in instruction_type.parameters().items()
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
def test_omitted_parameter_is_not_rendered(instruction, answer, form) -> None:
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
def test_instruction_accepts_the_reservation_by_definition_or_through_its_accept_parameter(
    instruction, accepts
) -> None:
    assert instruction.accepts is accepts


def test_defer_instruction_is_parsed() -> None:
    assert parse_instruction({"instruction": "defer"}) == Defer()


INSTRUCTION_NAMES = "defer, accept, reject, dequeue, call, redirect, conference"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, f"instruction is missing. Use one of {INSTRUCTION_NAMES}."),
        ({"instruction": ["accept"]}, f"instruction must be a string, one of {INSTRUCTION_NAMES}."),
        (
            {"instruction": "deqeue", "from": 5},
            'There is no instruction "deqeue"; did you mean dequeue?',
        ),
        (
            {"instruction": "supervise"},
            f'There is no instruction "supervise"; use one of {INSTRUCTION_NAMES}.',
        ),
        (
            {"instruction": "dequeue", "post_work_activity": WA},
            (
                "The `dequeue` instruction has no parameter `post_work_activity`; "
                "did you mean post_work_activity_sid?"
            ),
        ),
        (
            {"instruction": "redirect", "call_sid": CA, "url": URL, "zebra": 1},
            (
                "The `redirect` instruction has no parameter `zebra`; "
                "use one of call_sid, url, accept."
            ),
        ),
        (
            {"instruction": "accept", "to": "joey"},
            "The `accept` instruction has no parameters. Remove `to`.",
        ),
        ({"instruction": "dance" * 9999}, "dance" * 12 + "danc"),
    ],
)
def test_error_for_a_missing_or_unknown_instruction_or_parameter_name_is_short(
    mapping, message: str
) -> None:
    (error,) = error_messages(mapping)
    assert message in error
    assert len(error) < 200


@pytest.mark.parametrize("to", ["sip:joey@example.com", "SIPS:joey@example.com"])
def test_dequeue_timeout_for_a_sip_address_is_at_most_600_seconds(to: str) -> None:
    assert Dequeue(to=to, timeout=600).answer["timeout"] == 600
    assert error_messages({"instruction": "dequeue", "to": to, "timeout": 601}) == [
        "timeout must be at most 600 if `to` is a SIP address."
    ]


def test_dequeue_timeout_for_a_non_sip_address_may_be_999_seconds() -> None:
    for to in ("joey", "client:joey", "+15556667777", None):
        assert Dequeue(to=to, timeout=999).timeout == 999
    sip = "sip:joey@example.com"
    assert Dequeue(to=sip).timeout is None
    assert error_messages({"instruction": "dequeue", "to": sip, "timeout": "60"}) == [
        "timeout must be a whole number from 1 to 999, without quotes."
    ]


@ROWS
def test_validity_of_values_matches_the_documented_table(row: Row) -> None:
    value_type = INSTRUCTION_TYPES[row.instruction].parameters()[row.name].value_type
    assert {value_type.is_valid(value) for value in row.valid_values} == {True}
    assert [value_type.is_valid(value) for value in row.invalid_values] == (
        [False] * len(row.invalid_values)
    )


def test_hints_map_rest_names_of_all_instructions_to_parameters() -> None:
    assert Redirect.hints() == {
        "CallUrl": "url",
        "CallAccept": "accept",
        "RedirectCallSid": "call_sid",
        "RedirectUrl": "url",
        "RedirectAccept": "accept",
    }
    assert Accept.hints() == {}
    assert error_messages({"instruction": "redirect", "CallSid": CA, "url": URL, "call_sid": CA})
    assert error_messages({"instruction": "dequeue", "PostWorkActivitySid": WA}) == [
        (
            "The `dequeue` instruction has no parameter `PostWorkActivitySid`; "
            "did you mean post_work_activity_sid?"
        )
    ]


def test_only_secret_values_of_an_answer_are_hidden() -> None:
    answer = Conference(sip_auth_username="joey", sip_auth_password="secret").answer
    assert without_secrets(answer) == {**answer, "sip_auth_password": "(secret)"}
    for public in (
        Defer().answer,
        Call(from_="joey", url=URL).answer,
        {"instruction": "x", "a": 1},
    ):
        assert without_secrets(public) == public


def test_all_errors_are_reported_at_once() -> None:
    assert error_messages({"instruction": "call", "url": "x", "timeout": 0, "form": "joey"}) == [
        "The `call` instruction has no parameter `form`; did you mean from?",
        f"The `call` instruction requires `from`: {DESCRIPTIONS['contact']}.",
        f"url must be {DESCRIPTIONS['url']}.",
        "timeout must be a whole number from 1 to 999, without quotes.",
    ]


def test_at_most_ten_unknown_parameters_are_reported() -> None:
    for instruction in ("call", "accept"):
        unknown = {f"名{number}": 1 for number in range(9_999)}
        errors = error_messages({"instruction": instruction, **unknown, "timeout": 0})
        assert sum("名" in error for error in errors) == 10
        assert len(" ".join(errors)) < 2_000


def test_error_omits_parameter_values_and_repr_omits_the_password() -> None:
    with pytest.raises(InvalidInstruction) as error:
        parse_instruction({"instruction": "dequeue", "to": "tel:secret"})
    assert "secret" not in str(error.value)
    assert "secret" not in repr(Conference(sip_auth_password="secret"))


def test_instruction_is_validated_and_immutable() -> None:
    with pytest.raises(InvalidInstruction, match="timeout must be"):
        Dequeue(timeout=1000)
    with pytest.raises(FrozenInstanceError):
        Dequeue().timeout = 5
