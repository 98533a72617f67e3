"""The language menu for phone calls, and requests from Twilio Voice."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.sids import checked_sid

MAX_TEXT_LENGTH = 1_000
"""Maximum length of a spoken text. Twilio allows 4,096 characters, which take minutes to speak."""

QUICKSTART = json.dumps(
    [
        {
            "digit": "1",
            "language": "es",
            "say": "Para Español oprime el uno.",
            "sorry": "Lo sentimos, ahora nadie puede atender su llamada.",
        },
        {
            "digit": "2",
            "language": "en",
            "say": "For English, please hold or press two.",
            "sorry": "We are sorry. Nobody can take your call right now.",
            "default": True,
        },
    ],
    ensure_ascii=False,
)
"""The menu from part 3 of Twilio's quickstart, with `sorry` added."""

_DIGIT = re.compile("[0-9]")
_INVALID_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""Characters that XML can't contain or that can't be spoken. Spaces and joiners are allowed."""
_LANGUAGE_CODE = re.compile("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True)
class Language:
    """One entry of the menu.

    Attributes:
        digit: key that selects the language, 0 to 9.
        language: language code such as ``es`` or ``es-MX``, for the Task's attribute
            `selected_language` and for speaking the texts.
        say: text that the menu speaks in this language.
        sorry: text for callers who can't be connected; empty if omitted.
        voice: name of a Twilio voice; None for Twilio's default.
        default: whether callers who press no valid key get this language.
    """

    digit: str
    language: str
    say: str
    sorry: str = ""
    voice: str | None = None
    default: bool = False

    @classmethod
    def read(cls, entry: object) -> Self:
        """Read an entry of the setting; raise ValueError with a predicate as its message."""
        keys = cls.__dataclass_fields__
        if not isinstance(entry, dict) or not {"digit", "language", "say"} <= entry.keys():
            raise ValueError("must list objects with the keys digit, language and say")
        if unknown := sorted(entry.keys() - keys.keys()):
            raise ValueError(f"has an unknown key {unknown[0]}; allowed keys: {', '.join(keys)}")
        _validate(entry)
        return cls(**entry)


def _validate(entry: Mapping[str, Any]) -> None:
    if not _is_text(entry["digit"], _DIGIT):
        raise ValueError('needs a digit, "0" to "9", in each entry')
    if not _is_text(entry["language"], _LANGUAGE_CODE):
        raise ValueError("needs a language such as es or es-MX in each entry")
    for name in ("say", "sorry", "voice"):
        text = entry.get(name, "x")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT_LENGTH:
            raise ValueError(
                f"must set {name} to a non-empty string of at most {MAX_TEXT_LENGTH} characters"
            )
        if _INVALID_CHARACTERS.search(text):
            raise ValueError(f"must not contain control characters or line breaks in {name}")
    if type(entry.get("default", False)) is not bool:
        raise ValueError("must set default to true or false")


def _read_entry(number: int, entry: object) -> Language:
    try:
        return Language.read(entry)
    except ValueError as error:
        raise ValueError(f"{error} (see entry {number})") from error


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


@dataclass(frozen=True)
class Menu:
    """The languages that a caller can choose, in the order of the menu."""

    languages: tuple[Language, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the VOICE_LANGUAGES setting.

        Args:
            text: JSON list of objects with the fields of `Language`, exactly one of them with
                ``default: true``.

        Raises:
            ValueError: The text is malformed. The message is a predicate for the setting's name.
        """
        try:
            entries = parse_json(text)
        except JsonError as error:
            raise ValueError(f"is not valid JSON: {error}") from error
        if not isinstance(entries, list) or not entries:
            raise ValueError("must be a JSON list of objects with the keys digit, language and say")
        languages = tuple(_read_entry(number, entry) for number, entry in enumerate(entries, 1))
        if len({language.digit for language in languages}) < len(languages):
            raise ValueError("must not use a digit twice: each key selects one language")
        if sum(language.default for language in languages) != 1:
            raise ValueError(
                'needs "default": true in exactly one entry, for callers who press no key'
            )
        return cls(languages)

    @property
    def default(self) -> Language:
        """The language of callers who press no valid key."""
        return next(language for language in self.languages if language.default)

    def find_language(self, digits: str) -> Language | None:
        """Return the language that the pressed keys select; None if they select none."""
        return next((language for language in self.languages if language.digit == digits), None)


_UNANSWERED_RESULTS = frozenset({"error", "system-error", "queue-full", "leave"})


@dataclass(frozen=True)
class VoiceRequest:
    """A request from Twilio Voice for the next TwiML of a call.

    https://www.twilio.com/docs/voice/twiml#request-parameters

    Attributes:
        call_sid: SID (CA…) of the call.
        digits: keys that the caller pressed; empty if none.
        queue_result: reason why the call left its queue, or empty.
    """

    call_sid: str
    digits: str
    queue_result: str

    @classmethod
    def from_form(cls, form: Form, *, account_sid: str) -> Self:
        """Read a request for the given account (AC…).

        Raises:
            BadRequest: The request is for a different account, or a parameter is missing,
                malformed or repeated.
        """
        for name in {"AccountSid", "CallSid", "Digits", "QueueResult"} & form.keys():
            if len(form.getall(name)) > 1:
                raise BadRequest(f"{name} must not be repeated.")
        if form.get("AccountSid") != account_sid:
            raise BadRequest("AccountSid does not match TWILIO_ACCOUNT_SID.")
        return cls(
            call_sid=checked_sid(form.get("CallSid"), "CA", "CallSid"),
            digits=form.get("Digits", ""),
            queue_result=form.get("QueueResult", ""),
        )

    @property
    def is_unanswered(self) -> bool:
        """Whether the call left the queue unanswered, without a hangup or a redirect."""
        return self.queue_result in _UNANSWERED_RESULTS
