"""Parsing of forms and assignment callbacks."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.callbacks import MAX_RECORDED_BYTES, OMITTED, AssignmentCallback, Form
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import json_size

ACCOUNT = "AC" + "a" * 32
WORKSPACE = "WS" + "b" * 32
SIDS = [("ReservationSid", "WR" + "1" * 32), ("TaskSid", "WT" + "2" * 32)]
SIDS += [("WorkerSid", "WK" + "3" * 32)]

# The characters for which str.isprintable is true.
printable = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
names = st.text(printable, min_size=1, max_size=20)
pairs = st.lists(st.tuples(names, st.text(printable, max_size=50)), max_size=20)


@given(pairs)
def test_form_keeps_all_values_in_order(sent: list[tuple[str, str]]) -> None:
    form = Form.parse(urlencode(sent).encode())

    for name in {name for name, _ in sent}:
        assert form.getall(name) == [value for key, value in sent if key == name]
    assert set(form) == {name for name, _ in sent}


@given(st.binary(max_size=300))
def test_any_body_is_parsed_or_rejected_with_bad_request(body: bytes) -> None:
    with suppress(BadRequest):
        Form.parse(body)


@pytest.mark.parametrize(
    ("body", "requirement"),
    [
        ("a=\u00e9".encode(), " in ASCII. Percent-encode all other characters."),
        (b"\xff&=&", " in ASCII. Percent-encode all other characters."),
        (b"a=%FF", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"a=%ED%A0%80", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"%C3=1", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"a=1&" * 201, " of at most 200 parameters."),
        (b"=1", ", in which each parameter has a name."),
        (b"a=1&=2", ", in which each parameter has a name."),
    ],
)
def test_refusal_of_a_form_states_one_cause(body: bytes, requirement: str) -> None:
    with pytest.raises(BadRequest) as raised:
        Form.parse(body)
    message = f"The body must be a form (application/x-www-form-urlencoded){requirement}"
    assert raised.value.message == message


@given(pairs)
def test_any_form_is_parsed_or_rejected_with_bad_request(sent: list[tuple[str, str]]) -> None:
    form = Form.parse(urlencode([*SIDS, *sent]).encode())
    try:
        callback = AssignmentCallback.from_form(form, account_sid=ACCOUNT, workspace_sid=WORKSPACE)
    except BadRequest:
        return
    assert set(callback.parameters) >= {name for name, _ in sent} - {
        "ReservationSid",
        "TaskSid",
        "WorkerSid",
        "WorkflowSid",
        "TaskQueueSid",
        "TaskAttributes",
        "WorkerAttributes",
    }


def test_repeated_sid_is_rejected() -> None:
    form = Form.parse(urlencode([*SIDS, ("TaskSid", "WT" + "4" * 32)]).encode())
    with pytest.raises(BadRequest, match="TaskSid"):
        AssignmentCallback.from_form(form, account_sid=ACCOUNT, workspace_sid=WORKSPACE)


texts = st.builds(
    lambda text, count: text * count,
    st.text(st.sampled_from('a\x01"é名🙂'), max_size=3),
    st.integers(0, 12_000),
)
"""Texts of one to four bytes per character, and of up to six bytes per character as JSON."""


@given(st.dictionaries(texts.filter(bool), texts | st.lists(texts, max_size=3), max_size=6), texts)
def test_recorded_parameters_do_not_exceed_the_maximum_size(
    sent: dict[str, str | list[str]], attributes: str
) -> None:
    all_pairs = [*SIDS, ("TaskAttributes", attributes), ("WorkerAttributes", "{}")]
    for name, value in sent.items():
        all_pairs += [(name, text) for text in ([value] if isinstance(value, str) else value)]
    callback = AssignmentCallback.from_form(
        Form(all_pairs), account_sid=ACCOUNT, workspace_sid=WORKSPACE
    )

    limited = callback.within_size_limit()

    omitted = limited.parameters.get(OMITTED, [])
    received = {**callback.parameters, "TaskAttributes": attributes}
    kept = {name: limited.parameters[name] for name in limited.parameters if name != OMITTED}
    if limited.task_attributes is not None:
        kept["TaskAttributes"] = limited.task_attributes
    assert json_size(kept) <= MAX_RECORDED_BYTES
    assert all(received[name] == value for name, value in kept.items())
    assert len(omitted) == len(received) - len(kept)
    assert (limited == callback) == (not omitted)
    assert limited.reservation_sid == callback.reservation_sid
    assert limited.worker_attributes == "{}"


@pytest.mark.parametrize("character", ["a", "\x01", '"', "é", "名", "🙂"])
def test_attributes_at_twilios_limit_are_recorded(character: str) -> None:
    attributes = character * 4_096
    form = Form([*SIDS, ("TaskAttributes", attributes), ("WorkerAttributes", attributes)])
    callback = AssignmentCallback.from_form(form, account_sid=ACCOUNT, workspace_sid=WORKSPACE)
    assert callback.within_size_limit() == callback
