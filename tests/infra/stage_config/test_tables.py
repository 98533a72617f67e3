"""Table names in .chalice/config.json: each stage needs its own tables."""

import json

import pytest

from infra import OperatorError
from infra.aws import stage_config
from tests.infra.stage_config.committed import COMMITTED, error_message

PROD_RESERVATIONS = "taskrouter-callbacks-prod-reservations"


@pytest.mark.parametrize(
    ("name", "table", "other_name"),
    [
        ("RESERVATIONS_TABLE", PROD_RESERVATIONS, "RESERVATIONS_TABLE"),
        ("STATE_TABLE", "taskrouter-callbacks-prod-state", "STATE_TABLE"),
        ("STATE_TABLE", f" {PROD_RESERVATIONS} ", "RESERVATIONS_TABLE"),
        ("RESERVATIONS_TABLE", "taskrouter-callbacks-prod-state", "STATE_TABLE"),
    ],
)
def test_table_of_another_stage_is_refused(config, name, table, other_name):
    declared = json.loads(COMMITTED)
    declared["stages"]["dev"]["environment_variables"][name] = table
    config.write_text(json.dumps(declared))

    message = (
        f"{{}} in .chalice/config.json: {{}} must not be {table.strip()}, which is also the {{}} "
        "of stage {}, because each stage needs its own tables."
    )
    for stage, *names in (("dev", name, other_name, "prod"), ("prod", other_name, name, "dev")):
        with pytest.raises(OperatorError) as error:
            stage_config.environment(stage, {})
        assert str(error.value) == message.format(f"Stage {stage}", *names)


def test_table_name_at_the_top_level_is_refused_because_all_stages_would_use_the_table(config):
    declared = json.loads(COMMITTED) | {"environment_variables": {"STATE_TABLE": "state"}}
    for stage in declared["stages"].values():
        stage["environment_variables"].pop("STATE_TABLE", None)
    config.write_text(json.dumps(declared))

    assert "which is also the STATE_TABLE of stage prod" in error_message()
    assert stage_config.environment("local", {})["STATE_TABLE"] == "state"


def test_local_stage_may_use_the_tables_of_another_stage(config):
    declared = json.loads(COMMITTED)
    dev = declared["stages"]["dev"]["environment_variables"]
    declared["stages"]["local"]["environment_variables"]["STATE_TABLE"] = dev["STATE_TABLE"]
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)
    assert stage_config.environment("local", {})["STATE_TABLE"] == dev["STATE_TABLE"]


@pytest.mark.parametrize("variables", [None, 5, [], {"STATE_TABLE": 5}, {"STATE_TABLE": None}])
def test_invalid_variables_of_another_stage_are_ignored(config, variables):
    declared = json.loads(COMMITTED)
    declared["stages"]["prod"]["environment_variables"] = variables
    config.write_text(json.dumps(declared))

    assert stage_config.read("dev", allow_empty_sids=True)
