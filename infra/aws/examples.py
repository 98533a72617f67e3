"""Examples for errors about values in .chalice/config.json that must be strings."""

import json
from dataclasses import Field
from typing import Any

_DIGITS = "0123456789abcdef" * 2
_EXAMPLES = {
    "console_title_attributes": "subject,customer",
    "twilio_account_sid": f"AC{_DIGITS}",
    "twilio_workspace_sid": f"WS{_DIGITS}",
    "twilio_workflow_sid": f"WW{_DIGITS}",
    "reject_activity_sid": f"WA{_DIGITS}",
    "public_base_url": "https://calls.example.com",
    "cors_allow_origin": "https://desk.example.com",
    "oidc_client_id": "contact-center-console",
    "oidc_issuer": "https://login.example.com",
    "secrets_parameter": "/taskrouter-callbacks/dev/secrets",
    "reservations_table": "taskrouter-callbacks-dev-reservations",
    "state_table": "taskrouter-callbacks-dev-state",
}
"""Examples for settings without a default or with an empty default."""


def describe_string(value: object, setting: Field[Any] | None = None) -> str:
    """Describe the required type of a value: a string, with an example.

    Args:
        value: The value, which is not a string. A number or a boolean becomes the example, unless
            `_EXAMPLES` has an example for the setting, or the setting does not accept the value.
        setting: The field of the setting that the string would set; None for other strings.
    """
    is_scalar = isinstance(value, int | float)
    example = json.dumps(value)[:20] if is_scalar else "5"
    if setting:
        is_usable = setting.name not in _EXAMPLES and is_scalar and _accepts(setting, example)
        default = setting.metadata["default"]
        example = example if is_usable else _EXAMPLES.get(setting.name, default)
    return f'a string, for example "{example}"'


def _accepts(setting: Field[Any], text: str) -> bool:
    try:
        setting.metadata["parse"](text)
    except ValueError:
        return False
    return True
