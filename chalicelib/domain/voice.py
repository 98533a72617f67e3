"""The menu that a caller hears, and which key chooses what."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.sids import checked_sid

MAX_SAID = 1_000
"""Characters of one text. Twilio says 4,096 of them at most, and no caller listens for so long."""

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
            "sorry": "We are sorry, nobody can take your call now.",
            "default": True,
        },
    ],
    ensure_ascii=False,
)
"""Twilio's quickstart, part 3; `sorry` is ours."""

_DIGIT = re.compile("[0-9]")
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""What XML can't hold, or nobody can say. Other scripts' blanks and joiners are text."""
_LANGUAGE = re.compile("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


@dataclass(frozen=True)
class Language:
    """One entry of the menu.

    Attributes:
        digit: the key that chooses it, 0 to 9.
        language: what the Task's `selected_language` says, and what the texts are spoken in, such
            as ``es`` or ``es-MX``.
        say: what the menu says of it.
        sorry: what a caller hears whom nobody can talk to, or empty.
        voice: Twilio's name of a voice, or None for its own.
        default: whether it is for callers who choose nothing.
    """

    digit: str
    language: str
    say: str
    sorry: str = ""
    voice: str | None = None
    default: bool = False

    @classmethod
    def read(cls, entry: object) -> Self:
        """Read an entry of the setting; raises ValueError saying what is wrong in it."""
        known = cls.__dataclass_fields__
        if not isinstance(entry, dict) or not {"digit", "language", "say"} <= entry.keys():
            raise ValueError("must list objects with digit, language and say")
        if unknown := sorted(entry.keys() - known.keys()):
            raise ValueError(f"knows no {unknown[0]}, only {', '.join(known)}")
        _check(entry)
        return cls(**entry)


def _check(entry: Mapping[str, Any]) -> None:
    if not _is_text(entry["digit"], _DIGIT):
        raise ValueError('needs a digit, "0" to "9", in each entry')
    if not _is_text(entry["language"], _LANGUAGE):
        raise ValueError("needs a language such as es or es-MX in each entry")
    for name in ("say", "sorry", "voice"):
        text = entry.get(name, "x")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_SAID:
            raise ValueError(f"needs a text of at most {MAX_SAID} characters as {name}")
        if _UNSPEAKABLE.search(text):
            raise ValueError(f"must not have control characters or line breaks in {name}")
    if type(entry.get("default", False)) is not bool:
        raise ValueError("needs true or false as default")


def _read(number: int, entry: object) -> Language:
    try:
        return Language.read(entry)
    except ValueError as error:
        raise ValueError(f"{error} (see entry {number})") from error


def _is_text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


@dataclass(frozen=True)
class Menu:
    """What a caller can choose from, in the order in which it is said."""

    languages: tuple[Language, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the setting VOICE_LANGUAGES.

        Args:
            text: a JSON list of objects with the fields of `Language`; one has ``default: true``.

        Raises:
            ValueError: it is not; the message goes on where the setting's name stops.
        """
        try:
            entries = parse_json(text)
        except JsonError as error:
            raise ValueError(f"must be JSON: {error}") from error
        if not isinstance(entries, list) or not entries:
            raise ValueError("must be a JSON list of objects with digit, language and say")
        languages = tuple(_read(number, entry) for number, entry in enumerate(entries, 1))
        if len({one.digit for one in languages}) < len(languages):
            raise ValueError("has a digit twice: each key chooses one language")
        if sum(one.default for one in languages) != 1:
            raise ValueError('needs "default": true in one entry, for callers who choose nothing')
        return cls(languages)

    @property
    def default(self) -> Language:
        """The language of callers who choose nothing."""
        return next(one for one in self.languages if one.default)

    def chosen(self, digits: str) -> Language | None:
        """Return what the pressed key chooses; None where it is no choice of the menu."""
        return next((one for one in self.languages if one.digit == digits), None)


_UNSERVED = frozenset({"error", "system-error", "queue-full", "leave"})


@dataclass(frozen=True)
class VoiceRequest:
    """Twilio asks what to do with a call.

    https://www.twilio.com/docs/voice/twiml#request-parameters

    Attributes:
        call_sid: CA….
        digits: the keys that were pressed, empty where none was.
        queue_result: how the call left its queue, or empty.
    """

    call_sid: str
    digits: str
    queue_result: str

    @classmethod
    def from_form(cls, form: Form, *, account_sid: str) -> Self:
        """Read a request that was sent for this account (AC…).

        Raises:
            BadRequest: it is about another account, or a parameter that matters is missing,
                malformed or repeated.
        """
        for name in {"AccountSid", "CallSid", "Digits", "QueueResult"} & form.keys():
            if len(form.getall(name)) > 1:
                raise BadRequest(f"{name} was given more than once.")
        if form.get("AccountSid") != account_sid:
            raise BadRequest("AccountSid is not the one that this service is set up for.")
        return cls(
            call_sid=checked_sid(form.get("CallSid"), "CA", "CallSid"),
            digits=form.get("Digits", ""),
            queue_result=form.get("QueueResult", ""),
        )

    @property
    def is_unserved(self) -> bool:
        """Whether the caller left the queue, and was neither connected nor gone by themselves."""
        return self.queue_result in _UNSERVED
