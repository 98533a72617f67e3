"""The documents agree with the code."""

import re
from pathlib import Path

import pytest

from app import app
from chalicelib import config
from chalicelib.domain import errors
from chalicelib.domain.reservations import OBSERVED, Status

DOCS = Path(__file__).parent.parent / "docs"
SETTINGS = (DOCS / "settings.md").read_text(encoding="utf-8")
API = (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*config.Settings.__annotations__, "SETTINGS_DEFAULTS"])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name.upper()}` |" in SETTINGS


def test_every_documented_setting_exists() -> None:
    described = set(re.findall(r"^\| `([A-Z_]+)` \|", SETTINGS, re.MULTILINE))
    boto3s = {"AWS_ENDPOINT_URL_DYNAMODB"}
    settings = {name.upper() for name in config.Settings.__annotations__} | {"SETTINGS_DEFAULTS"}
    assert described == settings | boto3s


def test_every_route_is_documented() -> None:
    for path, methods in app.routes.items():
        for method in methods.keys() - {"OPTIONS"}:
            assert re.search(rf"`[A-Z\\|]*{method}[A-Z\\|]* {re.escape(path)}`", API), (
                method,
                path,
            )


def test_every_code_is_documented() -> None:
    codes = {
        one.code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.AppError)
    }
    for code in codes:
        assert f"`{code}`" in API


def test_diagram_equals_the_table() -> None:
    text = (DOCS / "state-machine.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", text, re.MULTILINE))
    assert drawn == {(status, to) for status in Status for to in OBSERVED[status]}
