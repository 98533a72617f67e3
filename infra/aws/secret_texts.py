"""Recognizes texts in .chalice/config.json that look like secrets."""

import re

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

PASSWORD_IN_URL = re.compile(r"//[^/\s:@]*:[^/\s@]+@")


def looks_secret(value: object) -> bool:
    """Return whether a member's value is or contains a text that looks like a secret."""
    if isinstance(value, list):
        return any(map(looks_secret, value))
    return isinstance(value, str) and bool(SECRET.search(value) or PASSWORD_IN_URL.search(value))
