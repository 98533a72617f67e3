"""Valid and invalid values of each fault field, and the requests that a fault affects."""

import pytest

from taskrouter_simulator.faults import FaultError, Faults

CALLBACKS = ("assignment", "fallback", "event", "twiml", "status")
KINDS = ("latency", "error", "cut", "duplicate")
VALID = {"latency": {"seconds": 1}, "error": {}, "cut": {}, "duplicate": {}}
LIMIT = 10**9


def error_for(**description):
    """Return the message for an invalid fault, or None for a valid fault."""
    faults = Faults()
    try:
        faults.add(description)
    except FaultError as error:
        assert faults.pending() == []
        return str(error)
    assert len(faults.pending()) == 1
    return None


def test_fault_has_id_and_defaults():
    faults = Faults()
    faults.add({"on": "request", "kind": "error"})
    faults.add({"on": "event", "kind": "cut"})
    defaults = {"method": None, "path": "*", "moment": "before", "seconds": 0.0, "status": 500,
                "retry_after": None, "times": 1}  # fmt: skip
    assert faults.pending() == [
        {"id": 1, "on": "request", "kind": "error", **defaults},
        {"id": 2, "on": "event", "kind": "cut", **defaults},
    ]
    faults.clear()
    assert faults.pending() == []


@pytest.mark.parametrize("on", ["request", *CALLBACKS])
@pytest.mark.parametrize("kind", [*KINDS, None, "other"])
def test_requests_and_callbacks_allow_different_faults(on, kind):
    allowed = KINDS[:3] if on == "request" else ("latency", "cut", "duplicate")
    expected = None if kind in allowed else f"`kind` must be one of {', '.join(allowed)}"
    assert error_for(on=on, kind=kind, **VALID.get(kind, {})) == expected


def test_on_field_must_be_request_or_a_kind_of_callback():
    message = "`on` must be one of request, assignment, fallback, event, twiml, status"
    for on in (None, "other", ["request"]):
        assert error_for(on=on, kind="cut") == message


@pytest.mark.parametrize(
    ("on", "allowed"),
    [("request", ("GET", "POST", "DELETE", "PUT", "PATCH")), ("event", ("POST",)),
     ("status", ("GET", "POST"))],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", None])
def test_requests_and_callbacks_allow_different_methods(on, allowed, method):
    is_valid = method in {None, *allowed}
    message = f"`method` must be one of {', '.join(allowed)} if `on` is `{on}`"
    assert error_for(on=on, kind="cut", method=method) == (None if is_valid else message)


@pytest.mark.parametrize("path", ["/", "*x", "?v1", "[/]v1", "/v1/Workspaces"])
def test_path_pattern_must_be_able_to_match_leading_slash(path):
    assert error_for(on="request", kind="cut", path=path) is None
    message = "`path` must begin with / or a wildcard (*, ? or [)"
    assert error_for(on="request", kind="cut", path="x" + path) == message


@pytest.mark.parametrize(
    ("field", "kinds", "values", "message"),
    [
        (
            "seconds",
            ["latency"],
            {0.001: True, LIMIT: True, LIMIT + 1: False, -1: False, "1": False},
            "`seconds` must be a number between 0 and 1,000,000,000",
        ),
        (
            "status",
            ["error", "cut"],
            {400: True, 599: True, 399: False, 600: False, 500.0: False},
            "`status` must be a whole number between 400 and 599",
        ),
        (
            "retry_after",
            ["error"],
            {0: True, LIMIT: True, -1: False, LIMIT + 1: False, 1.5: False, "1": False},
            "`retry_after` must be a whole number between 0 and 1,000,000,000",
        ),
        (
            "times",
            list(KINDS),
            {1: True, LIMIT: True, 0: False, LIMIT + 1: False, 1.5: False, "1": False},
            "`times` must be a whole number between 1 and 1,000,000,000",
        ),
    ],
)
def test_field_has_limits_and_applies_only_to_the_listed_kinds(field, kinds, values, message):
    for kind in KINDS:
        on = "event" if kind == "duplicate" else "request"
        for value, is_valid in values.items():
            expected = None if is_valid else message
            if is_valid and kind not in kinds:
                expected = f"`{field}` applies only if `kind` is `{'` or `'.join(kinds)}`"
            assert error_for(on=on, kind=kind, **{**VALID[kind], field: value}) == expected


def test_only_method_times_and_retry_after_may_be_null():
    for field in ("retry_after", "times", "method"):
        assert error_for(on="request", kind="error", **{field: None}) is None
    for field in ("seconds", "status", "moment", "path"):
        assert error_for(on="request", kind="error", **{field: None})


@pytest.mark.parametrize("seconds", [{}, {"seconds": 0}])
def test_latency_fault_requires_a_duration(seconds):
    message = "`seconds` must be greater than 0 if `kind` is `latency`"
    assert error_for(on="request", kind="latency", **seconds) == message


@pytest.mark.parametrize("on", ["request", *CALLBACKS])
@pytest.mark.parametrize("kind", KINDS)
def test_moment_may_be_after_only_if_the_fault_affects_requests_or_cuts_a_callback(on, kind):
    if kind == ("duplicate" if on == "request" else "error"):
        return
    is_valid = on == "request" or kind == "cut"
    message = f"`moment` must be `before` if `on` is `{on}` and `kind` is `{kind}`"
    given = {"on": on, "kind": kind, **VALID[kind]}
    assert error_for(**given, moment="after") == (None if is_valid else message)
    assert error_for(**given, moment="before") is None
    assert error_for(**given, moment="during") == '`moment` must be "before" or "after"'


def test_wrong_types_and_unknown_fields_are_rejected():
    assert error_for(on="request", kind="cut", path=1) == "`path` must be a string"
    assert error_for(on="request", kind="cut", method=1) == "`method` must be a string"
    message = "unknown field 'tims'; did you mean times?"
    assert error_for(on="request", kind="cut", tims=1) == message


def test_oldest_matching_fault_is_taken():
    faults = Faults()
    for description in (
        {"on": "event", "kind": "cut"},
        {"on": "request", "kind": "cut", "method": "POST"},
        {"on": "request", "kind": "cut", "path": "/v1/*/Tasks"},
        {"on": "request", "kind": "cut", "times": None},
        {"on": "request", "kind": "cut"},
    ):
        faults.add(description)

    def take(on, method, path):
        fault = faults.take(on, method, path)
        return fault and fault.id

    assert take("request", "GET", "/v1/x/Tasks") == 3
    assert take("request", "GET", "/v1/x/Tasks") == 4
    assert take("request", "POST", "/v1/x/Tasks") == 2
    assert take("request", "GET", "/v1/x/tasks") == 4
    assert take("twiml", "POST", "/") is None
    assert take("event", "POST", "/") == 1
    assert take("event", "POST", "/") is None
    assert [(fault["id"], fault["times"]) for fault in faults.pending()] == [(4, None), (5, 1)]


def test_number_of_requests_that_a_fault_can_still_affect_is_shown():
    faults = Faults()
    faults.add({"on": "request", "kind": "cut", "times": 3})
    faults.take("request", "GET", "/")
    assert [fault["times"] for fault in faults.pending()] == [2]
