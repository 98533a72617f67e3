import functools

import pytest
from botocore.loaders import JSONFileLoader
from moto import mock_aws

from chalicelib import runtime
from infra.aws import stage_config
from tests.infra.live_stage import REGION, LiveStage, serve_app
from tests.infra.new_stage import NewStage
from tests.routes.conftest import api, environ  # noqa: F401  # fixtures

# Without this cache, every boto3 session would parse the API descriptions, which is slow.
load_description = functools.cache(JSONFileLoader().load_file)


@pytest.fixture
def new_stage(tmp_path, taskrouter, monkeypatch):
    """A stage without SIDs or secrets, in an emulated AWS account."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _loader, path: load_description(path))
    with mock_aws():
        yield NewStage.create(tmp_path, taskrouter, monkeypatch)


@pytest.fixture
def live_stage(request, taskrouter, dynamodb, tables, monkeypatch):
    """A working stage. The fixture's parameter, if any, is the address at which the app listens."""
    config_file = request.getfixturevalue("tmp_path") / "config.json"
    config_file.write_text(stage_config.CONFIG.read_text())
    monkeypatch.setattr(stage_config, "CONFIG", config_file)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url)
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _loader, path: load_description(path))
    faults = {}
    with mock_aws(), serve_app(getattr(request, "param", "127.0.0.1"), faults) as url:
        stage = LiveStage(taskrouter, dynamodb, url, tables, monkeypatch, faults)
        stage.create()
        yield stage
        runtime.use(None)
