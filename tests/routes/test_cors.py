"""CORS headers are absent by default and can allow a configured origin."""

import pytest

from tests.routes.conftest import Api

ROUTES = ["/create-task", "/reservations", f"/reservations/WR{'0' * 32}/accept"]


@pytest.mark.parametrize("path", ROUTES)
def test_no_other_origin_is_allowed_by_default(api: Api, path: str) -> None:
    assert api.call("OPTIONS", path, token=None).status_code == 403
    response = api.call("GET", "/reservations")
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ROUTES)
def test_configured_origin_is_allowed(
    environ: dict[str, str], request: pytest.FixtureRequest, path: str
) -> None:
    environ["CORS_ALLOW_ORIGIN"] = "https://agents.example"
    api: Api = request.getfixturevalue("api")

    preflight = api.call("OPTIONS", path, token=None)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://agents.example"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    refused = api.call("GET", "/reservations", token=None)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://agents.example"


@pytest.mark.parametrize(("setting", "methods"), [("false", "POST"), ("true", "GET, POST")])
def test_preflight_lists_the_methods_that_the_stage_supports(
    environ: dict[str, str], request: pytest.FixtureRequest, setting: str, methods: str
) -> None:
    environ |= {"CORS_ALLOW_ORIGIN": "*", "TUTORIAL_ROUTES": setting}
    api: Api = request.getfixturevalue("api")

    preflight = api.call("OPTIONS", "/create-task", token=None)
    assert preflight.headers["Access-Control-Allow-Methods"] == methods
