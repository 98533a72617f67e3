"""A fake CloudWatch Logs over HTTP, with the documented behavior of FilterLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html

Like CloudWatch Logs, the fake searches a limited number of lines per request. A page may therefore
contain fewer lines than requested, or none, although there are more lines.
"""

import json
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NEWEST_FIRST_SINCE = 1_704_067_200_000
"""January 1, 2024. CloudWatch Logs refuses newest-first searches that begin earlier."""

GROUP = "/aws/lambda/taskrouter-callbacks-dev"


@dataclass(repr=False)
class FakeLogs:
    """The state and configuration of the fake.

    Attributes:
        lines: time in epoch ms and text of each line, sorted by time.
        calls: the operation and parameters of each request.
        lines_per_request: maximum number of lines that a request searches.
        ignores_patterns: whether every line matches, as in emulators.
        before_response: called with the number of the request. May return a different response
            (status and body). A status of 0 closes the connection instead.
    """

    lines: list[tuple[int, str]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lines_per_request: int = 10_000
    ignores_patterns: bool = False
    before_response: Callable[[int], tuple[int, bytes] | None] = lambda _number: None
    url: str = ""

    def __repr__(self) -> str:
        return "FakeLogs()"

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [request for _, request in self.calls]

    def add(self, at: int, **fields: Any) -> None:
        line = {"event": "request", "route": "/assignment_callback", "status": 200, **fields}
        self.lines.append((at, json.dumps(line)))
        self.lines.sort(key=lambda line: line[0])

    def respond(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        start, end = request["startTime"], request["endTime"]
        if request["startFromHead"] or start < NEWEST_FIRST_SINCE or start > end:
            return 400, {"__type": "InvalidParameterException", "message": "no"}
        first = bisect_left(self.lines, (start, ""))
        last = bisect_right(self.lines, end, key=lambda line: line[0])
        if "nextToken" in request:
            token = request["nextToken"].removeprefix(f"{start}-{end}+/=")
            if not token.isdecimal() or int(token) not in range(first, last):
                return 400, {"__type": "InvalidParameterException", "message": "no"}
            last = int(token)
        matches = parse_pattern(request["filterPattern"])
        events: list[dict[str, Any]] = []
        searched = 0
        while last > first and len(events) < request["limit"] and searched < self.lines_per_request:
            last -= 1
            searched += 1
            at, text = self.lines[last]
            if self.ignores_patterns or matches(text):
                events.append(
                    {
                        "eventId": str(last),
                        "ingestionTime": at + 900,
                        "logStreamName": "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
                        "message": text,
                        "timestamp": at,
                    }
                )
        following = {"nextToken": f"{start}-{end}+/={last}"} if last > first else {}
        return 200, {"events": events, "searchedLogStreams": [], **following}


def parse_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that returns whether a line matches a filter pattern.

    The fake supports only `&&` between conditions or parenthesized alternatives (`||`).
    """
    assert len(pattern) <= 1_024  # CloudWatch Logs' limit
    conditions = []
    whole = re.fullmatch(r"\{ (.*) \}", pattern)
    assert whole, pattern
    for part in whole[1].split(" && "):
        alternatives = []
        for condition in part.removeprefix("(").removesuffix(")").split(" || "):
            parsed = re.fullmatch(r'\$\.(\w+) = (?:"([\w/.]+)"|([0-9]+))', condition)
            assert parsed, condition
            alternatives.append((parsed[1], int(parsed[3]) if parsed[3] else parsed[2]))
        conditions.append(alternatives)

    def matches(text: str) -> bool:
        try:
            line = json.loads(text)
        except ValueError:
            return False
        return isinstance(line, dict) and all(
            any(line.get(name) == value for name, value in alternatives)
            for alternatives in conditions
        )

    return matches


@contextmanager
def serve_logs() -> Iterator[FakeLogs]:
    """Serve the fake on loopback."""
    logs = FakeLogs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service, _, operation = self.headers["X-Amz-Target"].partition(".")
            assert service == "Logs_20140328"
            assert "/us-east-1/logs/aws4_request" in self.headers["Authorization"]
            logs.calls.append((f"logs:{operation}", request))
            scripted = logs.before_response(len(logs.calls))
            if scripted is None:
                status, content = logs.respond(request)
                body = json.dumps(content).encode()
            else:
                status, body = scripted
            if status == 0:  # simulate a lost connection
                self.close_connection = True
                return
            with suppress(BrokenPipeError, ConnectionResetError):  # the client may have timed out
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        logs.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield logs
        server.shutdown()
        thread.join()
