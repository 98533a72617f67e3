"""Parser for the supported part of TwiML: https://www.twilio.com/docs/voice/twiml."""

from xml.etree import ElementTree as ET

from taskrouter_simulator.engine.call_model import Verb

PROMPTS = ("Say", "Play")
VERBS = frozenset({*PROMPTS, "Pause", "Gather", "Enqueue", "Redirect", "Dial", "Hangup"})
_MAX_DEPTH = 20


class TwimlError(ValueError):
    """The text is not a TwiML document."""


def parse(body: bytes) -> tuple[Verb, ...]:
    """Return the verbs of a document in order; an empty Response has no verbs.

    Raises:
        TwimlError: The body is not a TwiML document, or is nested too deeply.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TwimlError("the document is not UTF-8") from error
    # A document type declaration could define entities that expand without limit.
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise TwimlError("the document has a document type declaration, which TwiML does not allow")
    try:
        root = ET.fromstring(text)  # noqa: S314 - entity declarations are rejected above
    except ET.ParseError as error:
        raise TwimlError(f"the document is not XML: {error}") from error
    if root.tag != "Response":
        raise TwimlError(f"the root element is {str(root.tag)[:100]}, not Response")
    return _parse_element(root, 0).children


def _parse_element(element: "ET.Element[str]", depth: int) -> Verb:
    if depth > _MAX_DEPTH:
        raise TwimlError(f"the document is nested more than {_MAX_DEPTH} levels deep")
    return Verb(
        str(element.tag),
        dict(element.attrib),
        "".join(element.itertext()).strip(),
        tuple(_parse_element(child, depth + 1) for child in element),
    )
