"""Recognizes strings in .chalice/config.json that look like secrets."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from chalicelib.config import Settings
from chalicelib.domain.messages import nearest_name

UNWANTED = "is or looks like a secret. Remove it, because secrets do not belong in this file."
"""The problem reported for a name or value that is, contains or looks like a secret."""

SECRET = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        [0-9a-fA-F]{32}                                          # an auth token; SIDs are longer
      | (?=\w*[a-z])(?=\w*[A-Z])(?=\w*\d)[A-Za-z0-9]{32}         # the secret of an API key
      | (?:AKIA|ASIA)[A-Z0-9]{16}                                # an AWS access key
      | eyJ[\w-]+\.[\w-]+\.[\w-]+                                # a JSON Web Token
    )(?![A-Za-z0-9])
    | ^(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9/+]{40}$          # an AWS secret key
    | -----BEGIN                                                 # a private key
    """,
    re.VERBOSE,
)

_SECRET_NAME = re.compile(
    "(?:TOKEN|SECRET|PASSWORD|CREDENTIAL|(?:ACCESS|API|PRIVATE|SHARED)KEY"
    r"|(?<![A-Z])KEY(?=S?(?![A-Z])))(?!S?_(?:FILE|\w*URI))"
)
"""A part of a variable's name, in upper case, that suggests that the value is a secret."""

SETTINGS = {field.name.upper(): field for field in fields(Settings)}
"""The settings, by the names of their variables."""

IN_PARAMETER = {name for name, field in SETTINGS.items() if field.metadata["in_parameter"]}
"""Names of the settings that are stored in the parameter with the secrets."""

_SETTINGS_WITH_SECRET = [
    name
    for name, field in SETTINGS.items()
    if not field.repr and not field.metadata["in_parameter"]
]
"""Names of the settings that contain a secret but belong in the file (ADR 25)."""

PASSWORD_IN_URL = re.compile(r"//[^/\s:@]*:[^/\s@]+@")


def looks_like_secret(value: object) -> bool:
    """Return whether a value is or contains a string that looks like a secret."""
    if isinstance(value, list):
        return any(map(looks_like_secret, value))
    return isinstance(value, str) and bool(SECRET.search(value) or PASSWORD_IN_URL.search(value))


def contains_secret(document: object) -> bool:
    """Return whether a JSON value contains a secret, or the name of a secret, at any depth."""
    remaining = [document]
    while remaining:
        value = remaining.pop()
        if isinstance(value, dict):
            if any(SECRET.search(name) or names_secret(name) for name in value):
                return True
            remaining += value.values()
        elif isinstance(value, list):
            remaining += value
        elif looks_like_secret(value):
            return True
    return False


def names_secret(name: str) -> bool:
    """Return whether a name is, or looks like, the name of a secret that belongs in SSM."""
    if name in SETTINGS:
        return name in IN_PARAMETER
    nearest = nearest_name(name, SETTINGS) or ""
    if word := _SECRET_NAME.search(name.upper()):
        # The name may misspell a setting that contains the word, such as MAX_TOKEN_SECONDS.
        return nearest in IN_PARAMETER or word[0] not in nearest
    return nearest_name(name, IN_PARAMETER, cutoff=0.75) == nearest


def may_contain_secret(name: str) -> bool:
    """Return whether the setting with this or a similar name is allowed to contain a secret."""
    return nearest_name(name, SETTINGS) in _SETTINGS_WITH_SECRET


def storage_instructions(stage: Mapping[str, Any], stage_name: str) -> str:
    """Return instructions for storing secrets, for the end of a message about a declared stage.

    For the local stage, which sets SETTINGS_DEFAULTS and has no parameter with secrets, the
    instructions contain the placeholder STAGE.
    """
    variables = stage.get("environment_variables")
    is_local = isinstance(variables, dict) and "SETTINGS_DEFAULTS" in variables
    return (
        " For local use, export the secrets in your shell. To store the secrets of a deployed "
        f"stage, run: python -m infra secrets put --stage {'STAGE' if is_local else stage_name}"
    )
