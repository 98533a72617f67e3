"""Fixtures that replace .chalice/config.json with a test's own file."""

import json

import pytest

from infra.aws import stage_config
from tests.infra.stage_config.committed import COMMITTED

LEVELS = {
    "the top level": ((), "at the top level, ", ""),
    "the stage": (("stages", "dev"), "", ""),
    "a function": (
        ("stages", "dev", "lambda_functions", "sweep"),
        "",
        " of lambda_functions.sweep",
    ),
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    project = {
        "environment_variables": {"RETENTION_DAYS": "10", "LOG_LEVEL": "DEBUG"},
        "stages": {"prod": {"environment_variables": {"RETENTION_DAYS": "20"}}, "empty": {}},
    }
    path.write_text(json.dumps(project))
    monkeypatch.setattr(stage_config, "CONFIG", path)
    return path


@pytest.fixture(params=LEVELS)
def set_variables(request, config):
    """A function that sets variables at one level of the file.

    The function's attributes are the parts of error messages that name this level.
    """
    path, prefix, owner = LEVELS[request.param]

    def set_variables(**variables):
        declared = json.loads(COMMITTED)
        level = declared
        for name in path:
            level = level[name]
        level.setdefault("environment_variables", {}).update(variables)
        config.write_text(json.dumps(declared))

    set_variables.prefix = f"Stage dev in .chalice/config.json: {prefix}"
    set_variables.owner = owner
    return set_variables
