"""Recognizes texts in .chalice/config.json that look like secrets."""

import re
from collections.abc import Mapping
from typing import Any

UNWANTED = "is or looks like a secret, which does not belong in this file. Remove it."
"""The problem of a member that is or contains a secret."""

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

SECRET_NAME = re.compile(
    "(?:TOKEN|SECRET|PASSWORD|CREDENTIAL|(?:ACCESS|API|PRIVATE|SHARED)KEY"
    r"|(?<![A-Z])KEY(?=S?(?![A-Z])))(?!S?_(?:FILE|\w*URI))"
)
"""A part of a variable's name, in upper case, that suggests that the value is a secret."""

PASSWORD_IN_URL = re.compile(r"//[^/\s:@]*:[^/\s@]+@")


def looks_secret(value: object) -> bool:
    """Return whether a member's value is or contains a text that looks like a secret."""
    if isinstance(value, list):
        return any(map(looks_secret, value))
    return isinstance(value, str) and bool(SECRET.search(value) or PASSWORD_IN_URL.search(value))


def describe_storing(stage: Mapping[str, Any], stage_name: str) -> str:
    """Return where secrets belong, as the end of a message about a declared stage.

    The local stage, which sets SETTINGS_DEFAULTS, has no parameter with secrets.
    """
    variables = stage.get("environment_variables")
    is_local = isinstance(variables, dict) and "SETTINGS_DEFAULTS" in variables
    return (
        " Export the secrets for local use in your shell. To store the secrets of a deployed "
        f"stage, run: python -m infra secrets put --stage {'STAGE' if is_local else stage_name}"
    )
