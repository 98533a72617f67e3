"""A SID is a prefix and 32 hexadecimal digits; error messages name the kind of resource."""

import pytest

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.sids import SID_PATTERNS, checked_sid, invalid_sid, is_sid

KINDS = {
    "AC": "an Account",
    "SK": "an API key",
    "WS": "a Workspace",
    "WW": "a Workflow",
    "WQ": "a TaskQueue",
    "WT": "a Task",
    "WR": "a Reservation",
    "WK": "a Worker",
    "WA": "an Activity",
    "CA": "a Call",
}


def test_every_kind_of_sid_has_a_pattern() -> None:
    assert SID_PATTERNS.keys() == KINDS.keys()


@pytest.mark.parametrize(("prefix", "kind"), KINDS.items())
def test_message_names_the_parameter_and_the_kind_of_sid(prefix: str, kind: str) -> None:
    assert invalid_sid(prefix, "sid").message == (
        f"sid must be {kind} SID: {prefix} followed by 32 hexadecimal digits."
    )


@pytest.mark.parametrize("prefix", KINDS)
@pytest.mark.parametrize("digits", ["0" * 32, "0aF9" * 8])
def test_prefix_with_32_hexadecimal_digits_is_accepted_as_a_sid(prefix: str, digits: str) -> None:
    assert is_sid(prefix + digits, prefix) is True
    assert checked_sid(prefix + digits, prefix, "sid") == prefix + digits


DIGITS = "0" * 32


@pytest.mark.parametrize("prefix", KINDS)
def test_malformed_sid_is_rejected(prefix: str) -> None:
    digits = ["", "0" * 31, "0" * 33, "0" * 31 + "g", DIGITS + "\n", "\u0660" * 32]
    texts = [*(prefix + text for text in digits), prefix.lower() + DIGITS, "XX" + DIGITS]
    for value in (*texts, None, 5, [prefix + DIGITS]):
        assert is_sid(value, prefix) is False
        with pytest.raises(BadRequest, match=f"^sid must be {KINDS[prefix]} SID: {prefix} "):
            checked_sid(value, prefix, "sid")
