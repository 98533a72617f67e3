"""Parsing of forms and assignment callbacks."""

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.callbacks import AssignmentCallback, Form
from chalicelib.domain.errors import BadRequest

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
