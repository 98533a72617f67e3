"""Settings parsed from text, and URLs built from settings."""

import re
from dataclasses import fields

import pytest

from taskrouter_simulator.setting_values import (
    SettingsError,
    environment_name,
    from_environment,
    read,
)
from taskrouter_simulator.settings import Settings
from tests.simulator.test_docs import PAGE

DEFAULTS = Settings()


def error_for(name, text):
    with pytest.raises(SettingsError) as error:
        read({name: text})
    return str(error.value).removeprefix(f"SIMULATOR_{name.upper()} ")


def test_missing_settings_have_default_values():
    assert read({}) == DEFAULTS == read({field.name: None for field in fields(Settings)})


def test_defaults_are_documented():
    documented = {}
    for field in fields(Settings):
        text = re.search(rf"^\| `{environment_name(field.name)}` \| (\S+) \|", PAGE, re.MULTILINE)[
            1
        ]
        documented[field.name] = "" if text == "none" else text.strip("`")
    assert read({}) == read(documented)


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_default_written_as_text_is_accepted(name):
    assert read({name: str(getattr(DEFAULTS, name))}) == DEFAULTS


def test_every_documented_choice_is_accepted():
    for field in fields(Settings):
        name = environment_name(field.name)
        row = rf"^\| `{name}` \|.*; allowed values: (\S+(?:, \S+)+) \|$"
        match = re.search(row, PAGE, re.MULTILINE)
        assert bool(match) is bool(field.metadata["choices"])
        for choice in match[1].split(", ") if match else ():
            assert getattr(read({field.name: choice}), field.name) == choice


@pytest.mark.parametrize(
    ("text", "value"),
    [*((word, True) for word in ("true", "TRUE", "1", "yes", "Yes")),
     *((word, False) for word in ("false", "False", "0", "no", "NO"))],
)  # fmt: skip
def test_boolean_setting_accepts_several_spellings(text, value):
    for name in ("frozen_clock", "etag_quoted"):
        assert getattr(read({name: text}), name) is value
    assert error_for("frozen_clock", f"{text}x") == f"must be true or false, not {text + 'x'!r}"


@pytest.mark.parametrize("name", ["routing_delay", "twiml_seconds"])
def test_number_of_seconds_must_be_finite_and_not_negative(name):
    for text, value in (("0", 0.0), ("0.25", 0.25), ("1e3", 1000.0)):
        assert getattr(read({name: text}), name) == value
    for text in ("-0.1", "inf", "-inf", "nan"):
        assert error_for(name, text) == f"must be a finite number of at least 0, not {text!r}"
    assert error_for(name, "") == "must be a number, not ''"


def test_whole_number_must_not_be_negative():
    assert read({"log_size": "0"}).log_size == 0
    assert error_for("log_size", "-1") == "must be a finite number of at least 0, not '-1'"
    assert error_for("log_size", "1.5") == "must be a whole number, not '1.5'"


def test_port_is_at_most_65535():
    assert (read({"port": "65535"}).port, read({"port": "0"}).port) == (65_535, 0)
    assert error_for("port", "65536") == "must be a port from 0 to 65535, not '65536'"


@pytest.mark.parametrize(
    "name", [field.name for field in fields(Settings) if field.name.endswith("_path")]
)
def test_path_must_begin_with_slash_or_be_empty(name):
    assert getattr(read({name: "/x"}), name) == "/x"
    assert getattr(read({name: ""}), name) == ""
    assert error_for(name, "x") == "must begin with /, not 'x'"


@pytest.mark.parametrize(
    ("name", "choice"),
    [(field.name, choice) for field in fields(Settings) for choice in field.metadata["choices"]],
)
def test_every_choice_is_accepted(name, choice):
    assert getattr(read({name: choice}), name) == choice
    assert error_for(name, "").startswith("must be one of ")
    assert error_for(name, choice.upper()).endswith(f", not {choice.upper()!r}")


def test_url_joins_base_and_path():
    for base in ("http://a", "http://a/"):
        settings = read({"callback_base_url": base})
        assert (settings.url("/b"), settings.url("")) == ("http://a/b", "")


def test_host_names_are_separated_by_commas():
    assert DEFAULTS.allowed_host_names() == set()
    names = read({"allowed_hosts": " A.example,,b.example ,"}).allowed_host_names()
    assert names == {"a.example", "b.example"}


@pytest.mark.parametrize(("port", "is_valid"), [("1", True), ("65535", True), ("0", False),
    ("65536", False), ("", False), ("-1", False), ("\N{ARABIC-INDIC DIGIT THREE}", False),
    ("\N{SUPERSCRIPT TWO}", False)])  # fmt: skip
def test_api_port_is_validated_and_used_in_default_base_url(port, is_valid):
    environ = {"API_PORT": port}
    if is_valid:
        assert from_environment("callback_base_url", environ) == f"http://127.0.0.1:{port}"
    else:
        with pytest.raises(SettingsError, match="API_PORT must be a port from 1 to 65535, not "):
            from_environment("callback_base_url", environ)
    assert from_environment("port", environ) is None
    environ["SIMULATOR_CALLBACK_BASE_URL"] = ""
    assert from_environment("callback_base_url", environ) == ""
    assert from_environment("callback_base_url", {}) is None
