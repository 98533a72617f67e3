"""What the demo prints: stages, what was sent, what was answered."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.demo.http_client import Answer, Caller

_LABEL_WIDTH = 11
_FIELD_WIDTH = 24
_POLL_SECONDS = 0.1
_MAX_VALUE = 100


class StageFailedError(Exception):
    """The demo did not see what it should; the message says what it saw instead."""


class Narrator:
    """Makes the demo's calls, prints them, and insists on what they should bring."""

    def __init__(self, out: Callable[[str], object] = print) -> None:
        """Print to `out`, a line a call."""
        self._out = out
        self._title = ""

    def stage(self, title: str) -> None:
        """Begin a stage."""
        self._title = title
        self._out(f"\n{title}\n{'=' * len(title)}")

    def say(self, sentence: str) -> None:
        """Tell what comes."""
        self._out(f"\n  {sentence}")

    def post(
        self, caller: Caller, path: str, form: Mapping[str, str] | None = None, *, show: str
    ) -> Any:
        """POST, and show the named fields (separated by spaces) of the answer, or "all"."""
        self._sent(caller, f"POST {path}", form)
        return self._answered(caller.post(path, form), show)

    def get(self, caller: Caller, path: str, *, show: str) -> Any:
        """GET, and show the named fields (separated by spaces) of the answer, or "all"."""
        self._sent(caller, f"GET {path}", None)
        return self._answered(caller.get(path), show)

    def wait(self, what: str, look: Callable[[], Any], seconds: float) -> Any:
        """Look until there is something to see (not None) and return it.

        Args:
            what: Is expected, for people.
            look: Returns it, or None while it is not there.
            seconds: How long it may take.

        Raises:
            StageFailedError: It did not come.
        """
        started = time.monotonic()
        while (seen := look()) is None:
            if time.monotonic() - started > seconds:
                raise StageFailedError(
                    f"{self._title!r} failed: expected {what} within {seconds:g} seconds, "
                    "and it did not come."
                )
            time.sleep(_POLL_SECONDS)
        return seen

    def expect(self, what: str, expected: object, got: object) -> None:
        """Insist.

        Raises:
            StageFailedError: It is not as expected.
        """
        if got != expected:
            raise StageFailedError(
                f"{self._title!r} failed: expected {what} to be {expected!r}, got {got!r}."
            )
        self._out(f"  {'ok':<{_LABEL_WIDTH}}{what} is {expected}")

    def _sent(self, caller: Caller, line: str, form: Mapping[str, str] | None) -> None:
        self._out(f"  {caller.name:<{_LABEL_WIDTH}}{line}")
        for name, value in (form or {}).items():
            self._field(name, value)

    def _answered(self, answer: Answer, show: str) -> Any:
        self._out(f"  {'  answer':<{_LABEL_WIDTH}}{answer.status}")
        if not 200 <= answer.status < 300 or not isinstance(answer.body, dict):  # noqa: PLR2004
            raise StageFailedError(
                f"{self._title!r} failed: expected a 2xx with a JSON object, got "
                f"{answer.status} {answer.body}"
            )
        for name in answer.body if show == "all" else show.split():
            self._field(name, answer.body.get(name))
        return answer.body

    def fields(self, values: Mapping[str, object]) -> None:
        """Show names and values, one a line."""
        for name, value in values.items():
            self._field(name, value)

    def _field(self, name: str, value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        short = text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"
        self._out(f"  {'':<{_LABEL_WIDTH}}  {name:<{_FIELD_WIDTH}} {short}")
