"""Proxies come from environment variables and, outside Lambda, from the operating system."""

from urllib.parse import urlsplit

import pytest
from botocore import utils

from chalicelib.adapters.endpoints import find_proxy

ENDPOINT = "https://dynamodb.us-east-1.amazonaws.com"
PROXY = "http://proxy.example:3128"


@pytest.fixture
def system_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the settings of the operating system, as on macOS and Windows."""
    monkeypatch.setattr(utils, "getproxies", lambda: {"https": PROXY})
    monkeypatch.setattr(utils, "proxy_bypass", lambda _host: False)


@pytest.mark.usefixtures("system_proxy")
def test_system_proxy_is_used_outside_lambda() -> None:
    proxy, headers = find_proxy(ENDPOINT)
    assert (proxy, headers) == (urlsplit(PROXY), {})


@pytest.mark.usefixtures("system_proxy")
def test_lambda_uses_only_proxies_in_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "api")
    assert find_proxy(ENDPOINT) == (None, {})

    monkeypatch.setenv("https_proxy", PROXY)
    assert find_proxy(ENDPOINT) == (urlsplit(PROXY), {})
