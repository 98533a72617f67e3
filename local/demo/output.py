"""Output of the demo: requests, responses and checked results."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.demo.http_client import HttpClient, Response

_LABEL_WIDTH = 11
_FIELD_WIDTH = 24
_POLL_SECONDS = 0.1
_MAX_VALUE_LENGTH = 100


class StageFailedError(Exception):
    """A stage of the demo failed; the message contains the stage and the expected result."""


class Presenter:
    """Sends requests, prints requests and responses, and checks the results."""

    def __init__(self, print_line: Callable[[str], object] = print) -> None:
        """Create a presenter that prints with `print_line`."""
        self._print = print_line
        self._stage = ""

    def start_stage(self, title: str) -> None:
        """Start a stage and print its title."""
        self._stage = title
        self._print(f"\n{title}\n{'=' * len(title)}")

    def explain(self, sentence: str) -> None:
        """Print a sentence that explains what happens."""
        self._print(f"\n  {sentence}")

    def post(
        self, client: HttpClient, path: str, form: Mapping[str, str] | None = None, *, show: str
    ) -> Any:
        """Send and print a POST request, and print the response fields listed in `show`.

        `show` contains space-separated names, or is "all".

        Raises:
            StageFailedError: The status is not 2xx, or the body is not a JSON object.
        """
        self._print_request(client, f"POST {path}", form)
        return self._print_response(client.post(path, form), show)

    def get(self, client: HttpClient, path: str, *, show: str) -> Any:
        """Send and print a GET request, and print the response fields listed in `show`.

        `show` contains space-separated names, or is "all".

        Raises:
            StageFailedError: The status is not 2xx, or the body is not a JSON object.
        """
        self._print_request(client, f"GET {path}", None)
        return self._print_response(client.get(path), show)

    def wait(self, description: str, find: Callable[[], Any], seconds: float) -> Any:
        """Poll until `find` returns a value other than None, and return that value.

        Args:
            description: The expected result, for the error message.
            find: Returns the result, or None if it is not available yet.
            seconds: The maximum wait.

        Raises:
            StageFailedError: The maximum wait has passed.
        """
        started = time.monotonic()
        while (result := find()) is None:
            if time.monotonic() - started > seconds:
                raise StageFailedError(
                    f"{self._stage!r} failed: expected {description} within {seconds:g} seconds."
                )
            time.sleep(_POLL_SECONDS)
        return result

    def expect(self, name: str, expected: object, actual: object) -> None:
        """Compare a value with the expected value, and print the result.

        Raises:
            StageFailedError: The values differ.
        """
        if actual != expected:
            raise StageFailedError(
                f"{self._stage!r} failed: expected {name} to be {expected!r}, got {actual!r}."
            )
        self._print(f"  {'ok':<{_LABEL_WIDTH}}{name} is {expected}")

    def print_fields(self, values: Mapping[str, object]) -> None:
        """Print names and values, one pair per line."""
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if len(text) > _MAX_VALUE_LENGTH:
                text = text[: _MAX_VALUE_LENGTH - 1] + "…"
            self._print(f"  {'':<{_LABEL_WIDTH}}  {name:<{_FIELD_WIDTH}} {text}")

    def _print_request(self, client: HttpClient, line: str, form: Mapping[str, str] | None) -> None:
        self._print(f"  {client.name:<{_LABEL_WIDTH}}{line}")
        self.print_fields(form or {})

    def _print_response(self, response: Response, show: str) -> Any:
        self._print(f"  {'  response':<{_LABEL_WIDTH}}{response.status}")
        body = response.body
        if not 200 <= response.status < 300 or not isinstance(body, dict):  # noqa: PLR2004
            raise StageFailedError(
                f"{self._stage!r} failed: expected a 2xx response with a JSON object, got "
                f"{response.status} {body}"
            )
        names = body if show == "all" else show.split()
        self.print_fields({name: body.get(name) for name in names})
        return body
