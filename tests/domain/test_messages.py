"""Messages for logs and callers suggest similar names and contain no private text."""

import json
import socket
from copy import copy
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import DecodeError, ProtocolError

from chalicelib.domain import messages
from chalicelib.domain.messages import (
    describe_connection_failure,
    display_name,
    nearest_name,
    public_text,
    suggestion,
)

TEXTS = st.text(min_size=4, max_size=40).filter(lambda text: "…" not in text)
NUMBERS = st.integers(1_000) | st.floats(1_000, allow_nan=False, allow_infinity=False)
ATTRIBUTES = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        TEXTS | NUMBERS, lambda values: st.lists(values) | st.dictionaries(st.text(), values)
    ),
    min_size=1,
    max_size=4,
)
SENTENCES = (
    "{}",
    "Bad value {} of name",
    "Name: {} is not allowed",
    "Attributes: {}{}",
    "x{}y is too long, and so is {}",
    'Value "{}" is not {}',
    "'{}' isn't {{{}}}",
)


@settings(max_examples=150, deadline=None)
@given(attributes=ATTRIBUTES, sentence=st.sampled_from(SENTENCES), data=st.data())
def test_public_text_repeats_no_value_of_the_submitted_attributes(
    attributes, sentence, data
) -> None:
    text = json.dumps(attributes)
    values = [*messages._values_in(text)]
    if not values:
        return
    inserted = [data.draw(st.sampled_from(values)) for _ in range(sentence.count("{}"))]

    shown = public_text(sentence.format(*inserted), [text])

    for value in values:
        # The sentence itself may happen to contain the value.
        assert value not in shown or value in sentence


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Name Zoë Martinez is too long", "Name … is too long"),
        ("Name zoë martinez is too long", "Name … is too long"),
        ("Name Martin is cut off", "Name … is cut off"),
        ("Name Zoë   Martinez is too long", "Name … is too long"),
        ("Code AZ-4711X is unknown", "Code …X is unknown"),
        ('Note "say "hello" now" is bad', "Note … is bad"),
        ("Invalid attributes: stored value", "Invalid …"),
        ("Name: too long", "Name: too long"),
        ("It is not assigned", "It is not assigned"),
    ],
)
def test_private_parts_and_text_after_a_colon_are_removed_except_after_the_first_word(
    message: str, shown: str
) -> None:
    attributes = {"name": "Zoë Martinez", "code": "AZ-4711", "note": "it is not so"}

    assert public_text(message, [json.dumps(attributes)]) == shown


@pytest.mark.parametrize("value", ["blue", "a.*b", "(xy)", "12.5", "cat dog"])
def test_private_text_is_removed_even_inside_words_and_regardless_of_case(value: str) -> None:
    assert public_text(f"No x{value.upper()}y here", [value]) == "No x…y here"


def test_private_text_of_three_characters_is_removed_only_as_a_whole_word() -> None:
    assert public_text("The cat sat on cats and CAT", ["cat"]) == "The … sat on cats and …"
    assert public_text("The cats sat", ["cats"]) == "The … sat"
    assert public_text("A b c", ["  ", ""]) == "A b c"


def test_longer_private_text_is_removed_first() -> None:
    for private in (["Ann", "Ann-Marie"], ["Ann-Marie", "Ann"]):
        assert public_text("Hello Ann-Marie!", private) == "Hello …!"


def test_values_in_private_json_are_removed_but_names_are_not() -> None:
    text = json.dumps({"name": ["Zed", {"x": 4711}], "blocked": True, "none": None, "n": 1.25})
    message = "The name of Zed has 4711, true, null and 1.25 x"
    assert public_text(message, [text]) == "The name of … has …, …, … and … x"
    assert public_text("Value 12 is wrong", ["12"]) == "Value … is wrong"


@pytest.mark.parametrize("depth", [1, 50_000])
def test_private_text_that_cannot_be_parsed_as_json_is_removed(depth: int) -> None:
    text = "[" * depth
    assert "[" not in public_text(f"Value {text[:900]} x", [text])


@pytest.mark.parametrize(
    ("message", "shown_text"),
    [
        ("Bad {a} x", "Bad … x"),
        ("Bad {a, cut off", "Bad …"),
        ("Bad [a] x", "Bad … x"),
        ("Bad [a, cut off", "Bad …"),
        ('Bad "a" x', "Bad … x"),
        ('Bad "a, cut off', "Bad …"),
        ("Bad 'a' x", "Bad … x"),
        ("Bad 'a, cut off", "Bad …"),
        ("It isn't Ann's", "It isn't Ann's"),
        ("Sid: text", "Sid: text"),
        ("The sid: text", "The …"),
        ("See https://a.example/b now", "See … now"),
        ("Send to joe@a.example now", "Send to … now"),
        ("Call client:joe now", "Call … now"),
        ("Call +1 (555) 666-7777 now", "Call … now"),
        ("Call 1234567 now", "Call … now"),
        ("Card 4111 1111 1111 now", "Card … now"),
        ("Wait 12345 s", "Wait 12345 s"),
        ("Task WT12345678901 is gone", "Task WT12345678901 is gone"),
        ("One\n two\tthree.", "One two three"),
        (" . One. . ", "One"),
        ("'a' 'b'  {c} x", "… x"),
        ("x" * 161, "x" * 160),
        ("x " * 500, ("x " * 80).strip()),
        ("x " * 500 + "x", ""),
        ("", ""),
    ],
    ids=range(26),
)
def test_message_becomes_a_short_line_without_possibly_private_text(
    message: str, shown_text: str
) -> None:
    assert public_text(message, []) == shown_text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timeout", "timeout"),
        ("TimeOut", "timeout"),
        ("timout", "timeout"),
        ("CallTimeOut", "timeout"),
        ("call_timeout", "timeout"),
        ("_calltimeout_", "timeout"),
        ("from", "From"),
        ("FORM", "From"),
        ("zebra", None),
        ("", None),
        ("timeout" + "x" * 57, None),
    ],
)
def test_nearest_name_ignores_case_and_prefers_hints(name: str, expected: str | None) -> None:
    candidates, hints = ("From", "timeout", "time"), {"Call_Timeout": "timeout"}
    assert nearest_name(name, candidates, hints) == expected


def test_most_similar_name_is_chosen() -> None:
    names = ["timeouts", "timeout", "time", "times"]
    for candidates in (names, names[::-1]):
        assert nearest_name("timeot", candidates) == "timeout"


def test_nearest_name_has_at_least_the_minimum_similarity() -> None:
    # Two of the four characters match, so the similarity is 0.5.
    assert nearest_name("abxy", ["abcd"]) is None
    assert nearest_name("abxy", ["abcd"], cutoff=0.5) == "abcd"
    assert nearest_name("abcxy", ["abcde"]) == "abcde"  # 0.6
    assert nearest_name("abcxy", ["abcde"], cutoff=0.61) is None


def test_only_the_first_64_characters_of_a_name_are_compared() -> None:
    assert nearest_name("a" * 64 + "b" * 10_000, ["a" * 64], cutoff=1.0) == "a" * 64
    assert nearest_name("a" * 65, ["a" * 63], cutoff=1.0) is None


def test_suggestion_is_a_similar_name_or_all_names() -> None:
    names = ["call", "dequeue"]
    assert suggestion("dequeu", names) == "; did you mean dequeue?"
    assert suggestion("zebra", names) == "; use one of call, dequeue."
    assert suggestion("Ring", names, {"ring": "call"}) == "; did you mean call?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("name", "name"),
        ("a\nb\x00", r"a\nb\u0000"),
        ('"é', r"\"é"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 64),
        ("\n" * 33, r"\n" * 32),
    ],
)
def test_name_is_shown_on_one_line_with_at_most_64_characters(name: str, expected: str) -> None:
    assert display_name(name) == expected


def chained(*errors: Exception, by_context: bool = False) -> Exception:
    """Return a copy of the first error. Each error has the next error as its cause or context."""
    errors = tuple(map(copy, errors))
    for outer, inner in pairwise(errors):
        if by_context:
            outer.__context__ = inner
        else:
            outer.__cause__ = inner
    return errors[0]


ProxyFailure = type("ProxyFailure", (Exception,), {})
ReadTimeout = type("ReadTimeout", (Exception,), {})
MALFORMED = "returned an incomplete or malformed response"


@pytest.mark.parametrize("by_context", [False, True])
@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        ([ProxyFailure(), ReadTimeout()], "can't be reached: the proxy failed"),
        ([Exception(), ProxyFailure()], "can't be reached: the proxy failed"),
        ([ReadTimeout()], "did not respond in time"),
        ([Exception(), TimeoutError()], "did not respond in time"),
        ([Exception(), socket.gaierror(-2, "x")], "can't be reached: unknown host name"),
        (
            [Exception(), ConnectionRefusedError(111, "x")],
            "can't be reached: connection refused",
        ),
        (
            [Exception(), ConnectionResetError(104, "x"), OSError()],
            "closed the connection without a response",
        ),
        (
            [OSError(5, "outer"), OSError(113, "No route to host")],
            "can't be reached: No route to host",
        ),
        ([Exception(), OSError()], "can't be reached: the connection failed"),
        ([ValueError("secret")], "can't be reached: the connection failed"),
        ([Exception(), IncompleteRead(b"secret", 5)], MALFORMED),
        ([Exception(), BadStatusLine("secret"), OSError()], MALFORMED),
        ([DecodeError("secret"), ValueError("secret")], MALFORMED),
        ([Exception(), ProtocolError("secret")], MALFORMED),
        ([ProtocolError("secret"), OSError(5, "I/O error")], "can't be reached: I/O error"),
        ([Exception(), RemoteDisconnected("x")], "closed the connection without a response"),
    ],
    ids=range(16),
)
def test_failure_is_described_according_to_its_causes(
    errors: list[Exception], failure: str, *, by_context: bool
) -> None:
    url = "https://user:secret@a.example:8443/path?x=secret"
    assert describe_connection_failure(url, chained(*errors, by_context=by_context)) == (
        f"at https://a.example:8443 {failure}"
    )
