"""Strategies for random HTTP requests, from valid to arbitrary."""

import json
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, urlencode

from hypothesis import strategies as st

from app import app

FORM = "application/x-www-form-urlencoded"
SIGNED = ("/assignment_callback", "/assignment_callback/fallback", "/event_callback")
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]
"""Methods to try on any route, whether or not the route supports them.

OPTIONS is omitted, because chalice.test crashes if a route does not handle OPTIONS. API Gateway
would respond to such a request itself.
"""

RESERVATIONS = [f"WR{number:032x}" for number in range(1, 9)]
TASKS = [f"WT{number:032x}" for number in range(1, 9)]
WORKERS = [f"WK{number:032x}" for number in range(1, 4)]

IDENTITIES = [
    "none",
    "junk",
    "worker",
    "supervisor",
    "service",
    "expired",
    "wrong secret",
    "no role",
]
SIGNATURES = ["none", "valid", "valid", "wrong key", "for a different form", "with settings"]


@dataclass(frozen=True)
class Input:
    """A request, and the kinds of token (IDENTITIES) and signature (SIGNATURES) to add."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    identity: str
    signature: str

    @property
    def route(self) -> str:
        return self.path.partition("?")[0].removesuffix("/")

    @property
    def is_callback(self) -> bool:
        return self.method == "POST" and self.route in SIGNED

    @property
    def is_verified(self) -> bool:
        """Whether the token or signature is valid."""
        if self.is_callback:
            return self.signature == "valid"
        return self.identity in {"worker", "supervisor", "service"}


texts = st.text(max_size=40)
_JUNK = [
    *("", " ", "null", "NaN", "-1", "0", "1e999", "9" * 400, "true", "\x00", "../..", "%", "%00"),
    *("\u2028", "\U0001f600", "\u0661\u0662", "WR" + "g" * 32, "WR" + "\uff10" * 32),
    *("' OR 1==1 --", "{}", "[]"),
]
junk = st.one_of(texts, st.sampled_from(_JUNK))
sids = st.one_of(
    st.sampled_from(RESERVATIONS + TASKS + WORKERS),
    st.builds(
        "{}{:032x}".format,
        st.sampled_from(["WR", "WT", "WK", "WW", "WA", "WS", "AC"]),
        st.integers(0, 2**128 - 1),
    ),
)
numbers = st.integers(-(10**12), 10**12)
times = st.datetimes().map(lambda time: time.isoformat()) | st.sampled_from(
    ["2026-11-22T01:00:00Z", "0001-01-01", "9999-12-31T23:59:59-23:59", "2026-W47", "now"]
)
cursors = st.sampled_from(
    ["WzFd", "WzE3OTAwMDAwMDAwMDBd", "W10", "bnVsbA", "WzEsMl0", "WzEsIldSIl0", "WzFlOTld"]
)
_API_PARAMETERS = {
    "reservation_sid": st.sampled_from(RESERVATIONS),
    "task_sid": st.sampled_from(TASKS),
    "worker_sid": st.sampled_from(WORKERS),
    "status": st.sampled_from(["pending", "accepted", "completed", "gone", "PENDING", "failed"]),
    "limit": st.integers(-2, 102).map(str),
    "since": times,
    "cursor": cursors,
    "priority": numbers.map(str),
    "timeout": numbers.map(str),
    "activity_sid": sids,
    "workflow_sid": sids,
    "task_channel": texts,
    "attributes": st.sampled_from(['{"selected_language": "es"}', "{}", "[", '{"a": 1e999}']),
}
parameters = st.lists(
    st.one_of(
        st.sampled_from(sorted(_API_PARAMETERS)).flatmap(
            lambda name: st.tuples(
                st.just(name), st.one_of(_API_PARAMETERS[name], _API_PARAMETERS[name], sids, junk)
            )
        ),
        st.tuples(texts, junk),
    ),
    max_size=4,
)

_CALLBACK_PARAMETERS = {
    "AccountSid": st.just("AC" + "a" * 32),
    "WorkspaceSid": st.just("WS" + "c" * 32),
    "ReservationSid": st.sampled_from(RESERVATIONS) | sids,
    "TaskSid": st.sampled_from(TASKS),
    "WorkerSid": st.sampled_from(WORKERS),
    "WorkflowSid": sids,
    "TaskQueueSid": junk,
    "TaskAttributes": junk | st.just('{"selected_language": "es"}'),
    "WorkerAttributes": junk | st.just("{}"),
    "EventType": st.sampled_from(
        ["reservation.created", "reservation.accepted", "reservation.failed", "task.created", "x"]
    ),
    "WorkerName": junk,
    "Timestamp": junk,
}
valid_forms = st.fixed_dictionaries(_CALLBACK_PARAMETERS).map(lambda form: list(form.items()))
forms = st.one_of(
    valid_forms,
    st.tuples(
        valid_forms,
        st.lists(
            st.tuples(st.sampled_from(sorted(_CALLBACK_PARAMETERS)) | texts, junk), max_size=3
        ),
    ).map(lambda lists: lists[0][3:] + lists[1]),
    st.lists(st.tuples(texts, junk), max_size=6),
    st.integers(150, 260).map(lambda count: [(f"p{number}", "") for number in range(count)]),
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.one_of(
    st.just(b""),
    parameters.map(lambda pairs: json.dumps(dict(pairs)).encode()),
    st.tuples(st.sampled_from(sorted(_API_PARAMETERS)), json_values).map(
        lambda pair: json.dumps(dict([pair])).encode()
    ),
    json_values.map(lambda value: json.dumps(value).encode()),
    parameters.map(lambda pairs: urlencode(pairs, errors="surrogatepass").encode()),
    forms.map(lambda pairs: urlencode(pairs, errors="surrogatepass").encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"[" * 100_000,
            b'{"attributes":' + b'{"a":' * 40 + b"1" + b"}" * 41,
            b'{"attributes": "' + b"x" * 5_000 + b'"}',
            b"{" + b" " * 140_000 + b"}",
            b"a=" + b"%F0%9F%98%80" * 12_000,
            b"\xff\xfe{\x00}\x00",
            b'{"a": 1, "a": 2}',
            b'{"attributes": "\\ud800"}',
            b"attributes=%7B%7D&attributes=%7B%7D",
            b"ReservationSid=%FF&TaskSid=%00",
            b"&=&=&;;",
        ]
    ),
)
_CONTENT_TYPES = [
    *(FORM, FORM, "application/json", "application/json; charset=utf-8", f"{FORM}; charset=x"),
    *("", "text/plain", "multipart/form-data; boundary=x", "APPLICATION/JSON", ";", "*/*"),
]
content_types = st.one_of(
    st.sampled_from([FORM, "application/json"]),
    st.sampled_from([FORM, "application/json"]),
    st.sampled_from(_CONTENT_TYPES),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip),
)
_HEADERS = [
    *("Idempotency-Key", "Origin", "Accept", "Accept-Encoding", "If-Match", "X-Forwarded-Host"),
    *("X-HTTP-Method-Override", "I-Twilio-Idempotency-Token", "Cookie"),
]
_VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
extra_headers = st.dictionaries(
    st.sampled_from(_HEADERS),
    _VISIBLE | st.sampled_from(["key-1", "key-2", "https://example.test", "*/*", "gzip", "null"]),
    max_size=3,
)
segments = st.one_of(
    st.sampled_from(RESERVATIONS), sids, junk.filter(lambda text: text.strip("/.") != "")
)


def _paths(route: str) -> st.SearchStrategy[str]:
    if "{sid}" not in route:
        return st.sampled_from([route, route, f"{route}/"])
    return segments.map(lambda text: route.replace("{sid}", _quoted(text)))


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _with_query(path: str, pairs: list[tuple[str, str]]) -> str:
    query = urlencode(pairs, quote_via=quote_plus, errors="surrogatepass")
    return f"{path}?{query}" if query else path


@st.composite
def inputs(draw: st.DrawFn) -> Input:
    """Draw a request to any route, mostly with a method that the route supports."""
    route = draw(st.sampled_from(sorted(app.routes)))
    methods = [*app.routes[route]]
    method = draw(st.sampled_from(methods * (40 // len(methods)) + METHODS))
    is_signed = route in SIGNED
    body = draw(st.one_of(_encoded(forms), bodies) if is_signed else bodies)
    pairs = draw(st.one_of(st.just([]), parameters))
    content_type = draw(st.just(FORM) | content_types if is_signed else content_types)
    headers = draw(extra_headers)
    if content_type:
        headers = {**headers, "Content-Type": content_type}
    return Input(
        method=method,
        path=_with_query(draw(_paths(route)), pairs),
        headers=headers,
        body=body,
        identity=draw(st.sampled_from([*IDENTITIES, "supervisor", "supervisor", "worker"])),
        signature=draw(st.sampled_from(SIGNATURES)) if is_signed else "none",
    )


def _encoded(pairs: st.SearchStrategy[list[tuple[str, str]]]) -> st.SearchStrategy[bytes]:
    return pairs.map(lambda drawn: urlencode(drawn, errors="surrogatepass").encode())
