"""The committed .chalice/config.json, and helpers for tests that change a copy of the file."""

import pytest

from infra import OperatorError
from infra.aws import stage_config

COMMITTED = stage_config.CONFIG.read_text(encoding="utf-8")
HEX = "0123456789abcdef" * 2


def error_message():
    with pytest.raises(OperatorError) as error:
        stage_config.read("dev", allow_empty_sids=True)
    assert "\n" not in str(error.value)
    return str(error.value)
