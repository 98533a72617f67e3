"""Connection overrides, and responses from an app: instructions, TwiML, unusable responses."""

import pytest

from taskrouter_simulator.callbacks import answers, dispatcher
from taskrouter_simulator.callbacks.answers import Response, UnusableResponse
from taskrouter_simulator.callbacks.delivery import ConnectionOverrides, parse_overrides
from taskrouter_simulator.engine.core import Alert, AssignmentCallback
from tests.simulator.conftest import Simulation

JSON = "application/json"


def problem(parse, response):
    with pytest.raises(UnusableResponse) as error:
        parse(response)
    return error.value.code, str(error.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"", {}), (b" \n", {}), (b"{}", {}), (b'{"a": [1, null]}', {"a": [1, None]})],
)
def test_json_object_or_empty_body_is_parsed(body, expected):
    assert answers.parse_instruction(Response(200, JSON, body)) == expected


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (Response(201, JSON, b"{}"), 11200, "HTTP retrieval failure: got HTTP 201"),
        (Response(199, JSON, b"{}"), 11200, "HTTP retrieval failure: got HTTP 199"),
        (Response(200, JSON, b"{}", error="gone"), 11200, "HTTP retrieval failure: gone"),
        (Response(error="no connection"), 11200, "HTTP retrieval failure: no connection"),
        (Response(200, "text/xml", b"{}"), 40000, "The response's Content-Type is text/xml"),
        (Response(200, "", b""), 40000, "The response's Content-Type is missing"),
        *(
            (Response(200, JSON, body), 40001, "The response is not a JSON object")
            for body in (b"{", b"[]", b"1", b'"a"', b"null", b'{"a": NaN}', b'{"a": Infinity}',
                         b"\xff", b"[" * 100_000)
        ),
    ],
    ids=range(15),
)  # fmt: skip
def test_unusable_instruction_has_code_and_reason(response, code, message):
    assert problem(answers.parse_instruction, response) == (code, message)


@pytest.mark.parametrize("status", [200, 204, 299])
@pytest.mark.parametrize("content_type", ["text/xml", "application/xml", "text/html"])
def test_twiml_with_success_status_and_xml_or_html_type_is_accepted(status, content_type):
    assert answers.twiml_body(Response(status, content_type, b"x" * 65_536)) == b"x" * 65_536


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (Response(199, "text/xml"), 11200, "HTTP retrieval failure: got HTTP 199"),
        (Response(300, "text/xml"), 11200, "HTTP retrieval failure: got HTTP 300"),
        (Response(200, "text/xml", error="gone"), 11200, "HTTP retrieval failure: gone"),
        (Response(200, "text/plain"), 12300, "The response's Content-Type is text/plain"),
        (Response(200), 12300, "The response's Content-Type is missing"),
        (
            Response(200, "text/xml", b"x" * 65_537),
            11750,
            "The response is larger than 65536 bytes",
        ),
    ],
)
def test_unusable_twiml_has_code_and_reason(response, code, message):
    assert problem(answers.twiml_body, response) == (code, message)


DEFAULTS = ConnectionOverrides(
    connect=5.0, read=15.0, total=15.0, retries=1, retry_on=frozenset({"ct"})
)


def test_url_with_empty_or_no_fragment_has_default_overrides():
    assert parse_overrides("http://a/b?c#") == ("http://a/b?c", DEFAULTS)
    assert parse_overrides("http://a/b?c") == ("http://a/b?c", DEFAULTS)
    assert ConnectionOverrides() == DEFAULTS


@pytest.mark.parametrize(
    ("name", "field", "minimum", "maximum", "unit"),
    [("ct", "connect", 100, 10_000, 1000), ("rt", "read", 100, 15_000, 1000),
     ("tt", "total", 100, 15_000, 1000), ("rc", "retries", 0, 5, 1)],
)  # fmt: skip
def test_override_is_ignored_unless_it_is_valid_and_in_range(name, field, minimum, maximum, unit):
    default = getattr(DEFAULTS, field)
    for text, value in (
        (str(minimum), minimum / unit),
        (str(maximum), maximum / unit),
        (str(maximum + 1), default),
        (str(minimum - 1), default),
        ("0" + str(maximum), default),
        ("0" * 5000, default),
        ("x", default),
        ("", default),
        ("\N{ARABIC-INDIC DIGIT THREE}", default),
        ("\N{SUPERSCRIPT TWO}", default),
    ):
        bare, overrides = parse_overrides(f"http://a/#{name}={text}")
        assert bare == "http://a/"
        assert {**vars(DEFAULTS), field: value} == vars(overrides)
        assert isinstance(overrides.retries, int)


ALL_FAILURES = {"4xx", "5xx", "ct", "rt", "cut"}


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("rp=4xx", {"4xx"}),
        ("rp=5xx", {"5xx"}),
        ("rp=ct", {"ct"}),
        ("rp=rt", {"rt"}),
        ("rp=4xx,5xx,other", {"4xx", "5xx"}),
        ("rp=rt,all", ALL_FAILURES),
        ("rp=cut", {"ct"}),
        ("rp=", {"ct"}),
        ("rp=4xx&rp=5xx", {"5xx"}),
        ("rc=3", {"ct"}),
    ],
)
def test_retry_policy_selects_failures_to_retry(fragment, expected):
    assert parse_overrides(f"http://a/#{fragment}")[1].retry_on == expected


def handle(response, **settings):
    """Process a response to an assignment callback.

    Returns:
        The alert code if the fallback URL must be requested (otherwise None), the code and level
        of each alert, and the Reservation's status.
    """
    simulation = Simulation(**settings)
    _, reservation = simulation.offer_task()
    (effect,) = [item for item in simulation.effects if isinstance(item, AssignmentCallback)]
    simulation.effects.clear()
    code = dispatcher._execute_instruction(simulation.engine, effect, "http://a/", response)
    if code:
        dispatcher._give_up(simulation.engine, effect)
    details = {"url": "http://a/", "reservation_sid": reservation.sid}
    alerts = [item for item in simulation.effects if isinstance(item, Alert)]
    assert all(alert.details.items() <= details.items() for alert in alerts)
    return code, [(alert.code, alert.level) for alert in alerts], reservation.status


@pytest.mark.parametrize("uses_fallback", [False, True])
@pytest.mark.parametrize(
    ("response", "code", "level", "has_invalid_body"),
    [
        (Response(500, JSON), 11200, "error", False),
        (Response(200, "text/xml"), 40000, "error", False),
        (Response(200, JSON, b"{"), 40001, "warning", True),
        (Response(200, JSON, b'{"a": 1}'), 40005, "warning", True),
    ],
)
def test_failed_callback_emits_alert_and_uses_fallback_as_configured(
    response, code, level, has_invalid_body, uses_fallback
):
    expected = code if uses_fallback or not has_invalid_body else None
    result = handle(response, bad_json_uses_fallback=uses_fallback)
    assert result == (expected, [(code, level)], "pending")


@pytest.mark.parametrize("cancels", [False, True])
def test_reservation_is_canceled_after_failures_only_if_configured(cancels):
    result = handle(Response(500, JSON), failed_callbacks_cancel=cancels)
    assert result[2] == ("canceled" if cancels else "pending")


@pytest.mark.parametrize("uses_fallback", [False, True])
def test_well_formed_response_needs_no_fallback(uses_fallback):
    for body, status in ((b"{}", "pending"), (b'{"instruction": "accept"}', "accepted")):
        result = handle(Response(200, JSON, body), bad_json_uses_fallback=uses_fallback)
        assert result == (None, [], status)
    invalid = handle(
        Response(200, JSON, b'{"instruction": "x"}'), bad_json_uses_fallback=uses_fallback
    )
    assert invalid == (None, [(55555, "error")], "pending")


def test_failed_callback_for_ended_reservation_changes_nothing():
    simulation = Simulation(failed_callbacks_cancel=True)
    task, reservation = simulation.offer_task()
    (effect,) = [item for item in simulation.effects if isinstance(item, AssignmentCallback)]
    simulation.clock.advance(1200)
    dispatcher._give_up(simulation.engine, effect)
    assert reservation.status == "timeout"
    del simulation.workspace.reservations[reservation.sid]
    dispatcher._give_up(simulation.engine, effect)
    del simulation.engine.workspaces[simulation.workspace.sid]
    dispatcher._give_up(simulation.engine, effect)
    assert task.status == "pending"
