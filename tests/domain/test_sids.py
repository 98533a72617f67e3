"""Error messages for parameters that are not SIDs."""

import pytest

from chalicelib.domain.sids import invalid_sid


@pytest.mark.parametrize(
    ("prefix", "phrase"),
    [("WA", "an Activity SID"), ("SK", "an API key SID"), ("WT", "a Task SID")],
)
def test_message_begins_with_the_parameter_and_the_kind_of_sid(prefix, phrase):
    assert invalid_sid(prefix, "sid").message.startswith(f"sid must be {phrase}: {prefix} followed")
