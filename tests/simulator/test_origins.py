"""The rules that recognize requests from cross-origin web pages."""

from string import digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.origins import is_foreign, is_loopback

HOSTS = ["127.0.0.1:8001", "localhost:8001", "LOCALHOST", "[::1]:8001", "192.168.0.7", "api:80"]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8001",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost.",
    "127.0.0.1.",
]
MALFORMED_HOSTS = [
    "[",
    "[::1",
    "::1",
    "[evil.example]",
    ":8001",
    "localhost:port",
    "localhost:",
    "localhost:8001:8001",
    "evil.example@localhost",
    "localhost@evil.example",
    "localhost/evil.example",
    "localhost#.evil.example",
    "localhost?.evil.example",
    "localhost\\.evil.example",
    "localhost evil.example",
    "localhost, evil.example",
    "localhost\n",
    " localhost",
    "evil\N{IDEOGRAPHIC FULL STOP}example",
    "\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost",
    "\N{KELVIN SIGN}",
    "127.0.0.1%00.evil.example",
]
FOREIGN_ORIGINS = [
    "null",
    "",
    "http://evil.example",
    "https://evil.example:8001",
    "http://127.0.0.1:8080",
    "http://localhost:8001",
    "http://127.0.0.1",
    "http://127.0.0.1:8001/",
    "http://127.0.0.1:8001@evil.example",
    "file://",
    "http://[",
    "*",
]


@pytest.mark.parametrize("host", [None, "", *HOSTS])
def test_request_to_private_host_is_accepted_if_it_has_no_origin(host):
    assert not is_foreign(host, None)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_host_name_with_dot_is_foreign_whether_or_not_the_request_has_an_origin(host):
    assert is_foreign(host, None)
    assert is_foreign(host, f"http://{host}")


@pytest.mark.parametrize("host", MALFORMED_HOSTS)
def test_malformed_host_is_foreign(host):
    assert is_foreign(host, None)
    assert is_foreign(host, f"http://{host}")
    assert is_foreign(host, None, allowed_hosts={host, "evil.example"}, allowed_origins={"*"})


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_cross_origin_page_is_foreign(origin):
    assert is_foreign("127.0.0.1:8001", origin)


@pytest.mark.parametrize("host", [None, "", "192.168.0.7", "api:80"])
def test_matching_origin_is_foreign_if_the_host_is_not_loopback(host):
    assert is_foreign(host, f"http://{host}")


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001"])
def test_same_origin_page_on_loopback_host_is_accepted(host):
    assert not is_foreign(host, f"http://{host}")


def test_allowed_host_and_its_pages_are_accepted():
    allowed = {"tunnel.example"}

    assert not is_foreign("Tunnel.example:443", None, allowed_hosts=allowed)
    assert not is_foreign("tunnel.example", "https://tunnel.example", allowed_hosts=allowed)
    assert is_foreign("tunnel.example", "https://evil.example", allowed_hosts=allowed)
    assert is_foreign("evil.tunnel.example", None, allowed_hosts=allowed)


def test_allowed_origin_is_accepted_only_with_accepted_host():
    dashboard = "http://dashboard.example"

    assert not is_foreign("127.0.0.1:8000", dashboard, allowed_origins=[dashboard])
    assert not is_foreign("127.0.0.1:8000", "http://other.example", allowed_origins=["*"])
    assert is_foreign("127.0.0.1:8000", "http://other.example", allowed_origins=[dashboard])
    assert is_foreign("dashboard.example", dashboard, allowed_origins=[dashboard])


@given(
    st.text() | st.text("0127.:[]aex") | st.sampled_from([*HOSTS, *FOREIGN_HOSTS]),
    st.none() | st.text(),
)
def test_every_accepted_host_has_a_private_name(host, origin):
    if not is_foreign(host, origin, allowed_origins={"*"}):
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        assert host.isascii()
        # No top-level domain consists of digits only.
        assert "." not in name or name.startswith("[") or set(name) <= set(f"{digits}.")


@given(
    st.sampled_from(HOSTS),
    st.text(alphabet="/?#@\\ ,\t\r\n%[]\N{IDEOGRAPHIC FULL STOP}", min_size=1),
    st.integers(0),
)
def test_host_with_invalid_character_is_foreign(host, invalid_text, position):
    index = position % (len(host) + 1)
    assert is_foreign(host[:index] + invalid_text + host[index:], None)


@given(st.text())
def test_unknown_origin_is_foreign(origin):
    if origin not in {"http://127.0.0.1:8001", "https://127.0.0.1:8001"}:
        assert is_foreign("127.0.0.1:8001", origin)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "localhost", "::1", "[::1]:80"])
def test_loopback_host_is_recognized(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "192.168.0.7", "evil.example", "[", "localhost.x"])
def test_remote_or_malformed_host_is_not_loopback(host):
    assert not is_loopback(host)
