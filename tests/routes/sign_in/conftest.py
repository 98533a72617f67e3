"""Fixtures for signing in with a fake OpenID Connect provider."""

from collections.abc import Iterator

import pytest

from tests.fake_provider import CLIENT_ID, FakeProvider, serve_provider
from tests.routes.conftest import Api
from tests.routes.sign_in.browser import Browser, Directory


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with serve_provider() as provider:
        yield provider


@pytest.fixture
def oidc(environ: dict[str, str], provider: FakeProvider) -> None:
    environ |= {"OIDC_ISSUER": provider.url, "OIDC_CLIENT_ID": CLIENT_ID}


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def browser(oidc: None, api: Api, provider: FakeProvider, directory: Directory) -> Browser:
    vars(api.service)["taskrouter"] = directory
    return Browser(api, provider)
