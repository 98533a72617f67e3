"""Parsing of TwiML documents."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine.calls.twiml import TwimlError, parse

INVALID_TWIML = ["<Response>", "", "{}", "<Html/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><Response/>",
             "<Response>" + "<a>" * 30 + "</a>" * 30 + "</Response>", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("text", INVALID_TWIML)
def test_invalid_twiml_is_rejected(text):
    with pytest.raises(TwimlError):
        parse(text.encode("utf-8", errors="surrogatepass"))


@given(st.binary() | st.text().map(lambda text: f"<Response>{text}</Response>".encode()))
def test_parser_returns_verbs_or_raises_twiml_error(body):
    with contextlib.suppress(TwimlError):
        assert isinstance(parse(body), tuple)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff<Response><Say>A &amp; B</Say></Response>",
        "<!-- one --><Response><!-- two --><Say>A &#38; B</Say></Response>",
        "<Response><Say><![CDATA[A & B]]></Say></Response>",
        "<?xml version='1.0' encoding='UTF-8'?>\n<Response>\n<Say>A &#x26; B\n</Say>\n</Response>",
    ],
)
def test_valid_twiml_is_parsed(text):
    (verb,) = parse(text.encode())
    assert (verb.name, verb.text) == ("Say", "A & B")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("999", 999), ("1000", 5), ("998.5", 5), ("-1", 5), ("", 5),
     ("x", 5), ("\u0663", 5), ("9" * 5000, 5)],
)  # fmt: skip
def test_numeric_attribute_is_parsed_or_replaced_by_the_default_value(text, number):
    (verb,) = parse(f'<Response><Pause length="{text}"/></Response>'.encode())
    assert verb.number("length", 5, 999) == number


def test_elements_may_be_nested_20_levels_deep():
    def document(levels):
        return f"<Response>{'<a>' * levels}{'</a>' * levels}</Response>".encode()

    (verb,) = parse(document(20))
    for _ in range(19):
        (verb,) = verb.children
    assert verb.children == ()
    with pytest.raises(TwimlError, match="^the document is nested more than 20 levels deep$"):
        parse(document(21))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff", "the document is not UTF-8"),
        (b"<Html/>", "the root element is Html, not Response"),
        (b"<" + b"x" * 150 + b"/>", f"the root element is {'x' * 100}, not Response"),
        (
            b"<!DOCTYPE Response><Response/>",
            "the document has a document type declaration, which TwiML does not allow",
        ),
    ],
    ids=range(4),
)
def test_error_describes_problem(body, message):
    with pytest.raises(TwimlError) as error:
        parse(body)
    assert str(error.value) == message


def test_verb_has_attributes_text_and_children():
    (verb,) = parse(b"<Response><Say a='1'> x<b>y</b>z <c/></Say></Response>")
    assert (verb.name, verb.attributes, verb.text) == ("Say", {"a": "1"}, "xyz")
    assert [(child.name, child.text) for child in verb.children] == [("b", "y"), ("c", "")]
    assert parse(b"<Response/>") == ()
