"""TwiML, as far as it is understood here: https://www.twilio.com/docs/voice/twiml."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

SPOKEN = ("Say", "Play", "Pause")
VERBS = frozenset({*SPOKEN, "Gather", "Enqueue", "Redirect", "Dial", "Hangup"})
_DEEPEST = 20


class TwimlError(ValueError):
    """The text is no TwiML document."""


@dataclass(frozen=True)
class Verb:
    """An element: its name, attributes, the text in it and below it, and its children."""

    name: str
    attributes: dict[str, str]
    text: str
    children: tuple["Verb", ...]

    def number(self, name: str, default: int, most: int) -> int:
        """An attribute that is a whole number from 0 to `most`; else the default."""
        text = self.attributes.get(name, "")
        fits = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        return int(text) if fits and int(text) <= most else default

    def child(self, *names: str) -> "Verb | None":
        """The first child of one of the names."""
        return next((one for one in self.children if one.name in names), None)


def parse(body: bytes) -> tuple[Verb, ...]:
    """The verbs of a document, in order; an empty one has none.

    Raises:
        TwimlError: it is not XML, or its root is no Response.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TwimlError("the document is not UTF-8") from error
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise TwimlError("TwiML has no document type")  # nor entities that grow
    try:
        root = ET.fromstring(text)  # noqa: S314 - no entity can be declared, see above
    except ET.ParseError as error:
        raise TwimlError(f"the document is not XML: {error}") from error
    if root.tag != "Response":
        raise TwimlError(f"the document begins with {str(root.tag)[:100]}, not with Response")
    return _verb(root, 0).children


def _verb(element: "ET.Element[str]", depth: int) -> Verb:
    if depth > _DEEPEST:
        raise TwimlError("the document is nested too deep")
    return Verb(
        str(element.tag),
        dict(element.attrib),
        "".join(element.itertext()).strip(),
        tuple(_verb(child, depth + 1) for child in element),
    )
