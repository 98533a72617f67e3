import pytest
from moto import mock_aws

from tests.infra.new_stage import NewStage
from tests.routes.conftest import api, environ  # noqa: F401  # fixtures


@pytest.fixture
def new_stage(tmp_path, taskrouter, monkeypatch):
    """A stage that is not configured, in an empty emulated AWS account."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield NewStage.create(tmp_path, taskrouter, monkeypatch)
