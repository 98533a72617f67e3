"""Parsing of forms, assignment callbacks and events."""

from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.domain.callbacks import (
    EVENT_TYPES,
    MAX_DELIVERY_BYTES,
    MAX_RECORDED_BYTES,
    OMITTED,
    AssignmentCallback,
    EventPage,
    Form,
    ReservationEvent,
    event_time,
)
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import json_size
from chalicelib.domain.reservations import Delivery

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


@given(st.lists(st.sampled_from([*b"%+&=\\;ax01Af\n\x00"]), max_size=40).map(bytes))
@example(b"a=%&%=%%41&b=%4&c=%%%2541%25&d=\\x41\\%5Cn")
def test_form_has_the_parameters_that_parse_qsl_returns(body: bytes) -> None:
    sent: list[tuple[str, str]] | None = None
    with suppress(UnicodeDecodeError):
        sent = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    if sent is None or not all(name for name, _ in sent):
        with pytest.raises(BadRequest):
            Form.parse(body)
        return
    form = Form.parse(body)
    assert [*form] == [*dict(sent)]
    assert all(form.getall(name) == [v for key, v in sent if key == name] for name in form)


@pytest.mark.parametrize(
    ("body", "requirement"),
    [
        ("a=\u00e9".encode(), " in ASCII. Percent-encode all other characters."),
        (b"\xff&=&", " in ASCII. Percent-encode all other characters."),
        (b"a=%FF", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"a=%ED%A0%80", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"%C3=1", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"a=%&b=%FF", " in UTF-8. A percent-encoded character is not UTF-8."),
        (b"a=" + b"%" * 201, ". Encode each literal % as %25."),
        (b"a=1&" * 201, " of at most 200 parameters."),
        (b"=1", ", in which each parameter has a name."),
        (b"a=1&=2", ", in which each parameter has a name."),
    ],
)
def test_error_for_an_invalid_form_states_only_one_cause(body: bytes, requirement: str) -> None:
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
"""Strings whose characters have one to four bytes in UTF-8, and up to six bytes in JSON."""


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
    recorded = {name: limited.parameters[name] for name in limited.parameters if name != OMITTED}
    if limited.task_attributes is not None:
        recorded["TaskAttributes"] = limited.task_attributes
    assert json_size(recorded) <= MAX_RECORDED_BYTES
    assert all(received[name] == value for name, value in recorded.items())
    assert len(omitted) == len(received) - len(recorded)
    assert (limited == callback) == (not omitted)
    assert limited.reservation_sid == callback.reservation_sid
    assert limited.worker_attributes == "{}"


@pytest.mark.parametrize("character", ["a", "\x01", '"', "é", "名", "🙂"])
def test_attributes_at_twilios_limit_are_recorded(character: str) -> None:
    attributes = character * 4_096
    form = Form([*SIDS, ("TaskAttributes", attributes), ("WorkerAttributes", attributes)])
    callback = AssignmentCallback.from_form(form, account_sid=ACCOUNT, workspace_sid=WORKSPACE)
    assert callback.within_size_limit() == callback


@pytest.mark.parametrize(
    ("body", "requirement"),
    [
        (b"a=%ff", " in UTF-8. A percent-encoded character is not UTF-8."),
        ("é=1".encode(), " in ASCII. Percent-encode all other characters."),
        (b"a=1&=2", ", in which each parameter has a name."),
        (b"=", ", in which each parameter has a name."),
        (
            "&".join(f"a{number}=1" for number in range(201)).encode(),
            " of at most 200 parameters.",
        ),
    ],
    ids=range(5),
)
def test_invalid_form_is_rejected(body: bytes, requirement: str) -> None:
    with pytest.raises(BadRequest) as raised:
        Form.parse(body)
    form = "The body must be a form (application/x-www-form-urlencoded)"
    assert raised.value.message == f"{form}{requirement}"


def test_form_with_200_percent_signs_that_encode_nothing_is_parsed() -> None:
    assert Form.parse(b"a=%25+" + b"%z" * 200) == {"a": "% " + "%z" * 200}


def test_form_of_200_parameters_with_repeated_and_blank_values_is_parsed() -> None:
    form = Form.parse("&".join(["b=2", "a=", "b=%C3%A9", *["c=1"] * 197]).encode())
    assert form == {"b": "2", "a": "", "c": "1"}
    assert [form.getall(name) for name in "ab"] == [[""], ["2", "é"]]
    form.getall("a").append("x")
    assert form.getall("a") == [""]
    assert Form.parse(b"") == {}


OWNER = [("AccountSid", ACCOUNT), ("WorkspaceSid", WORKSPACE)]
OPTIONAL = {
    "WorkflowSid": ("workflow_sid", "WW" + "4" * 32),
    "TaskQueueSid": ("task_queue_sid", "WQ" + "5" * 32),
    "TaskAttributes": ("task_attributes", '{"a": 1}'),
    "WorkerAttributes": ("worker_attributes", "{}"),
}
REQUIRED = dict(
    zip(("reservation_sid", "task_sid", "worker_sid"), (value for _, value in SIDS), strict=True)
)
PARSERS = pytest.mark.parametrize("parser", [AssignmentCallback, ReservationEvent])
EVENT_TYPE = ("EventType", "reservation.created")


def parse(parser, *sent: tuple[str, str]):
    return parser.from_form(Form([*sent]), account_sid=ACCOUNT, workspace_sid=WORKSPACE)


def test_callback_has_every_parameter_as_received() -> None:
    optional = [(name, value) for name, (_, value) in OPTIONAL.items()]
    others = [("TaskAge", "1"), ("Twice", "a"), ("Thrice", "x")]
    repeated = [("Twice", "b"), ("Thrice", "y"), ("Thrice", "z")]
    assert parse(AssignmentCallback, *SIDS, *OWNER, *others, *optional, *repeated) == (
        AssignmentCallback(
            **REQUIRED,
            **dict(OPTIONAL.values()),
            parameters={
                **dict(OWNER),
                "TaskAge": "1",
                "Twice": ["a", "b"],
                "Thrice": ["x", "y", "z"],
            },
        )
    )
    assert parse(AssignmentCallback, *SIDS) == AssignmentCallback(
        **REQUIRED, **dict.fromkeys(attribute for attribute, _ in OPTIONAL.values()), parameters={}
    )


@pytest.mark.parametrize(
    ("event_type", "status"),
    {
        "reservation.created": "pending",
        "reservation.accepted": "accepted",
        "reservation.rejected": "rejected",
        "reservation.timeout": "timeout",
        "reservation.canceled": "canceled",
        "reservation.rescinded": "rescinded",
        "reservation.wrapup": "wrapping",
        "reservation.completed": "completed",
    }.items(),
)
def test_event_has_its_status_and_its_documented_parameters(event_type: str, status: str) -> None:
    optional = [(name, value) for name, (_, value) in OPTIONAL.items()]
    details = [("EventType", event_type), ("Timestamp", "1790000000"), ("WorkerName", "Alice")]
    assert parse(ReservationEvent, *SIDS, *OWNER, *details, *optional) == ReservationEvent(
        status=EVENT_TYPES[event_type],
        at=1_790_000_000_000 if status == "pending" else 1_790_000_000_999,
        worker_name="Alice",
        **REQUIRED,
        **dict(OPTIONAL.values()),
    )
    assert EVENT_TYPES[event_type] == status


def test_minimal_event_has_no_optional_values() -> None:
    assert parse(ReservationEvent, EVENT_TYPE, *SIDS) == ReservationEvent(
        status=EVENT_TYPES["reservation.created"],
        at=None,
        worker_name=None,
        **REQUIRED,
        **dict.fromkeys(attribute for attribute, _ in OPTIONAL.values()),
    )


@pytest.mark.parametrize("event_types", [[], [("EventType", "reservation.failed")]])
def test_event_that_reports_no_status_is_parsed_as_none_even_without_sids(event_types) -> None:
    assert parse(ReservationEvent, *OWNER, *event_types) is None


@pytest.mark.parametrize("timestamp", ["", "179000000", "17900000000", "1790000000.5", "x" * 10])
def test_timestamp_that_is_not_ten_digits_is_ignored(timestamp: str) -> None:
    assert parse(ReservationEvent, EVENT_TYPE, *SIDS, ("Timestamp", timestamp)).at is None


@pytest.mark.parametrize(
    ("milliseconds", "at"),
    [
        ("1790000000123", 1_790_000_000_123),
        ("1790000000999", 1_790_000_000_999),
        ("1790000001000", 1_790_000_000_000),
        ("179000000012", 1_790_000_000_000),
        ("17900000001234", 1_790_000_000_000),
        ("1790000000x23", 1_790_000_000_000),
        ("", 1_790_000_000_000),
    ],
)
def test_milliseconds_are_used_if_they_agree_with_the_timestamp(milliseconds: str, at: int) -> None:
    times = (("Timestamp", "1790000000"), ("TimestampMs", milliseconds))
    assert parse(ReservationEvent, EVENT_TYPE, *SIDS, *times).at == at


@pytest.mark.parametrize(
    ("until", "milliseconds"), [(-1, 0), (0, 0), (1, 1), (998, 998), (999, 999), (1_000, 999)]
)
def test_event_time_without_milliseconds_is_the_upper_bound_clamped_to_the_timestamps_second(
    until: int, milliseconds: int
) -> None:
    start = 1_790_000_000_000
    form = Form([("Timestamp", "1790000000")])
    assert event_time(form, until=start + until) == start + milliseconds


def test_milliseconds_without_a_valid_timestamp_are_ignored() -> None:
    times = (("Timestamp", "x"), ("TimestampMs", "1790000000123"))
    assert parse(ReservationEvent, EVENT_TYPE, *SIDS, *times).at is None


@pytest.mark.parametrize(("length", "recorded"), [(0, 0), (1, 1), (256, 256), (257, 256)])
def test_worker_name_is_cut_off_after_256_characters(length: int, recorded: int) -> None:
    event = parse(ReservationEvent, EVENT_TYPE, *SIDS, ("WorkerName", "n" * length))
    assert event.worker_name == ("n" * recorded or None)


@PARSERS
@pytest.mark.parametrize(("name", "expected"), OWNER)
def test_form_for_another_account_or_workspace_is_rejected(
    parser, name: str, expected: str
) -> None:
    for values in (["x"], [""], [expected, "x"], ["x", expected]):
        with pytest.raises(BadRequest) as raised:
            parse(parser, EVENT_TYPE, *SIDS, *((name, value) for value in values))
        assert raised.value.message == f"{name} does not match this service's settings."
    parse(parser, EVENT_TYPE, *SIDS, (name, expected), (name, expected))


@PARSERS
@pytest.mark.parametrize("name", [*(name for name, _ in SIDS), *OPTIONAL])
def test_parameter_that_is_recorded_separately_must_not_be_repeated(parser, name: str) -> None:
    value = dict(SIDS).get(name, "x")
    others = [pair for pair in SIDS if pair[0] != name]
    with pytest.raises(BadRequest) as raised:
        parse(parser, EVENT_TYPE, *others, (name, value), (name, value))
    assert raised.value.message == f"{name} must not be repeated."


@PARSERS
@pytest.mark.parametrize(("name", "value"), SIDS)
def test_required_sid_must_be_present_and_well_formed(parser, name: str, value: str) -> None:
    others = [pair for pair in SIDS if pair[0] != name]
    for sent in ([], [(name, "")], [(name, value + "0")], [(name, "CA" + value[2:])]):
        with pytest.raises(BadRequest, match=f"^{name} must be a .* SID: {value[:2]} followed by"):
            parse(parser, EVENT_TYPE, *others, *sent)


def test_event_keeps_attributes_up_to_the_maximum_size() -> None:
    before = {**REQUIRED, "workflow_sid": None, "task_queue_sid": None, "task_attributes": ""}
    rest = MAX_RECORDED_BYTES - sum(json_size([*item]) for item in before.items())
    for length, is_kept in ((rest, True), (rest + 1, False)):
        attributes = ("TaskAttributes", "a" * length)
        event = parse(ReservationEvent, EVENT_TYPE, *SIDS, attributes)
        assert event.task_attributes == ("a" * length if is_kept else None)
        assert event.reservation_sid == REQUIRED["reservation_sid"]


def callback_of_size(size: int) -> AssignmentCallback:
    """Return a callback whose recorded parameters, including a large one, total *size* bytes."""
    columns = ["WorkflowSid", "TaskQueueSid", "TaskAttributes", "WorkerAttributes"]
    rest = size - sum(json_size([*item]) for item in SIDS)
    rest -= sum(json_size([name, None]) for name in columns)
    return parse(AssignmentCallback, *SIDS, ("Large", "a" * (rest - json_size(["Large", ""]))))


def test_parameters_of_exactly_the_maximum_size_are_recorded() -> None:
    callback = callback_of_size(MAX_RECORDED_BYTES)
    assert callback.within_size_limit() == callback
    larger = callback_of_size(MAX_RECORDED_BYTES + 1).within_size_limit()
    assert larger.parameters == {OMITTED: ["Large"]}
    assert larger.reservation_sid == REQUIRED["reservation_sid"]


DELIVERY = Delivery(1, "/assignment_callback", "https://a.test/assignment_callback", "s" * 28)


def delivery_of_size(size: int) -> Delivery:
    """Return a delivery that has *size* bytes as JSON."""
    length = size - json_size(vars(DELIVERY))
    return replace(DELIVERY, url=DELIVERY.url + "/" * length)


def test_delivery_counts_toward_the_maximum_size_of_the_parameters() -> None:
    rest = MAX_RECORDED_BYTES - json_size(vars(DELIVERY))
    fitting = replace(callback_of_size(rest), delivery=DELIVERY)
    assert fitting.within_size_limit() == fitting
    larger = replace(callback_of_size(rest + 1), delivery=DELIVERY).within_size_limit()
    assert (larger.parameters, larger.delivery) == ({OMITTED: ["Large"]}, DELIVERY)


def test_oversized_delivery_does_not_reduce_the_space_for_parameters() -> None:
    delivery = delivery_of_size(MAX_DELIVERY_BYTES + 1)
    callback = callback_of_size(MAX_RECORDED_BYTES)
    assert replace(callback, delivery=delivery).within_size_limit() == callback
    small = callback_of_size(10_000)
    fitting = replace(small, delivery=delivery_of_size(MAX_DELIVERY_BYTES))
    assert fitting.within_size_limit() == fitting


def test_estimate_of_the_size_includes_the_delivery() -> None:
    delivery = replace(DELIVERY, url="\x01" * 20_000)
    callback = replace(parse(AssignmentCallback, *SIDS), delivery=delivery)
    assert callback.within_size_limit() == replace(callback, delivery=None)


def test_delivery_lists_which_separately_recorded_parameters_are_absent() -> None:
    form = Form([*SIDS, ("TaskQueueSid", ""), ("WorkerAttributes", "{}")])
    callback = AssignmentCallback.from_form(
        form, account_sid=ACCOUNT, workspace_sid=WORKSPACE, delivery=DELIVERY
    )
    assert callback.delivery == replace(DELIVERY, absent=("WorkflowSid", "TaskAttributes"))
    assert parse(AssignmentCallback, *SIDS).delivery is None


def test_parameters_are_recorded_in_descending_order_of_importance_if_they_fit() -> None:
    sent = [("TaskAttributes", "t" * 60_000), ("Large", "l" * 6_000), ("Small", "s")]
    limited = parse(AssignmentCallback, *SIDS, *sent).within_size_limit()
    assert limited.task_attributes == "t" * 60_000
    assert limited.parameters == {"Small": "s", OMITTED: ["Large"]}


def test_record_lists_the_first_ten_omitted_names_with_their_line_breaks_escaped() -> None:
    sent = [(f"n\n{number:02}", "x" * MAX_RECORDED_BYTES) for number in range(11)]
    callback = parse(AssignmentCallback, *SIDS, ("TaskAttributes", "x" * MAX_RECORDED_BYTES), *sent)
    limited = callback.within_size_limit()
    assert limited.task_attributes is None
    assert limited.parameters == {
        OMITTED: ["TaskAttributes", *(f"n\\n{number:02}" for number in range(9))]
    }


def test_page_of_events_is_complete_and_readable_by_default() -> None:
    assert EventPage([]) == EventPage([], is_complete=True, unreadable=0)
