"""Parses and validates the values of settings."""

import re
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import PurePath
from typing import Any

from taskrouter_simulator.identifiers import is_url
from taskrouter_simulator.settings import MIN_TOKEN_LENGTH, Settings
from taskrouter_simulator.spelling import describe_unknown, find_similar

MAX_PORT = 65535


class SettingsError(ValueError):
    """A setting is unknown or has an invalid value; the message names the setting."""


def read(values: Mapping[str, Any]) -> Settings:
    """Parse and validate settings.

    Args:
        values: Text or value of each setting by field name; None means the default.

    Raises:
        SettingsError: A setting is unknown or has an invalid value.
    """
    known = {setting.name: setting for setting in fields(Settings)}
    chosen = {}
    for name, value in values.items():
        if name not in known:
            raise SettingsError(f"unknown setting {describe_unknown(name, known)}")
        if value is not None:
            chosen[name] = _read_setting(known[name], value)
    settings = Settings(**chosen)
    if settings.port > MAX_PORT:
        name = environment_name("port")
        raise SettingsError(f"{name} must be a port from 0 to {MAX_PORT}, not '{settings.port}'")
    if not re.fullmatch(f"([!-~]{{{MIN_TOKEN_LENGTH},}})?", settings.control_token):
        # The message does not contain the value, which is a secret.
        raise SettingsError(
            f"{environment_name('control_token')} must be at least {MIN_TOKEN_LENGTH} printable"
            " ASCII characters without spaces"
        )
    if not is_url(settings.callback_base_url):
        name = environment_name("callback_base_url")
        raise SettingsError(f"{name} must be a URL, not {settings.callback_base_url!r}")
    return settings


def _read_setting(setting: "Field[Any]", value: Any) -> Any:
    name = environment_name(setting.name)
    if not isinstance(value, str | int | float | PurePath):
        # The message does not contain the value, which may be a secret.
        kind = type(value).__name__
        raise SettingsError(f"{name} must be a string, a number, True or False, not {kind}")
    text = str(value)
    choices = setting.metadata["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {text!r}")
    if setting.name.endswith("_path") and text and not text.startswith("/"):
        raise SettingsError(f"{name} must begin with /, not {text!r}")
    return _parse(name, text, type(setting.default))


def from_environment(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a field's environment variable, or None if the default applies.

    Raises:
        SettingsError: The default depends on API_PORT, which is not a valid port.
    """
    text = environ.get(environment_name(name))
    if name == "callback_base_url" and text is None and "API_PORT" in environ:
        port = environ["API_PORT"]
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
            raise SettingsError(f"API_PORT must be a port from 1 to {MAX_PORT}, not {port!r}")
        return f"http://127.0.0.1:{port}"
    return text


def find_misspelled(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the misspelled names of environment variables, each with the most similar name.

    Names that are not similar to a setting's name are ignored, because they may belong to other
    programs.
    """
    prefix = environment_name("")
    known = [setting.name for setting in fields(Settings)]
    unknown = sorted(environ.keys() - map(environment_name, known))
    similar = {
        name: find_similar(name.removeprefix(prefix), known)
        for name in unknown
        if name.startswith(prefix)
    }
    return {name: environment_name(setting) for name, setting in similar.items() if setting}


def environment_name(name: str) -> str:
    """Return the name of a field's environment variable."""
    return f"SIMULATOR_{name.upper()}"


def _parse(name: str, text: str, value_type: type) -> Any:
    if value_type is str:
        return text
    if value_type is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise SettingsError(f"{name} must be true or false, not {text!r}")
        return words[text.lower()]
    try:
        number = value_type(text)
    except ValueError as error:
        kind = "a whole number" if value_type is int else "a number"
        raise SettingsError(f"{name} must be {kind}, not {text!r}") from error
    if not 0 <= number < float("inf"):
        raise SettingsError(f"{name} must be a finite number of at least 0, not {text!r}")
    return number
