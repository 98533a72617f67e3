import functools

import pytest
from botocore.loaders import JSONFileLoader
from moto import mock_aws

from tests.infra.new_stage import NewStage
from tests.routes.conftest import api, environ  # noqa: F401  # fixtures

# Otherwise, every boto3 session would parse the API descriptions, which is slow.
load_description = functools.cache(JSONFileLoader().load_file)


@pytest.fixture
def new_stage(tmp_path, taskrouter, monkeypatch):
    """A stage without SIDs and secrets, in an emulated AWS account."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _loader, path: load_description(path))
    with mock_aws():
        yield NewStage.create(tmp_path, taskrouter, monkeypatch)
