"""Several stages share an account, and each stage stays in its region."""

import json

import pytest

from tests.deploy.conftest import REGION, STAGE, settings_of
from tests.deploy.test_deploy import put_secrets
from tests.infra.config_file import edit_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OTHER_REGION = {"AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.parametrize("command", [("prepare",), ("deploy",), ("secrets", "put", "--stdin")])
def test_command_fails_for_a_stage_prepared_in_another_region(aws, checkout, secrets, command):
    put_secrets(checkout, secrets)
    checkout.infra("prepare", "--stage", STAGE)

    failed = checkout.run(*command, "--stage", STAGE, stdin=secrets, **OTHER_REGION)

    assert failed.returncode == 1
    assert f"Error: Stage {STAGE} exists in {REGION}." in failed.stderr
    cloudformation = aws.client("cloudformation", "us-east-1")
    assert cloudformation.describe_stacks()["Stacks"] == []
    assert aws.client("ssm", "us-east-1").describe_parameters()["Parameters"] == []


def add_stage(checkout, twilio, name):
    """Add a stage to config.json with the settings of the dev stage."""
    with edit_config(checkout.folder) as config:
        text = json.dumps(config["stages"][STAGE]).replace(f'"{STAGE}"', f'"{name}"')
        text = text.replace(f"-{STAGE}-", f"-{name}-").replace(f"/{STAGE}-", f"/{name}-")
        text = text.replace(f"/{STAGE}/", f"/{name}/")
        config["stages"][name] = json.loads(text)
        config["stages"][name]["environment_variables"] |= settings_of(twilio)


def functions(aws, region):
    return sorted(
        function["FunctionName"]
        for function in aws.client("lambda", region).list_functions()["Functions"]
    )


def test_two_stages_in_two_regions_are_independent(aws, checkout, twilio, secrets):
    # The name of the second stage begins with the name of the first stage.
    second = f"{STAGE}-2"
    add_stage(checkout, twilio, second)
    put_secrets(checkout, secrets)
    checkout.infra("deploy", "--stage", STAGE, "--no-check")
    checkout.infra("secrets", "put", "--stage", second, "--stdin", stdin=secrets, **OTHER_REGION)
    checkout.infra("deploy", "--stage", second, "--no-check", **OTHER_REGION)

    for stage, environ in ((STAGE, {}), (second, OTHER_REGION)):
        unchanged = checkout.run("deploy", "--stage", stage, "--no-check", **environ)
        assert "Nothing has changed." in unchanged.stderr
    failed = checkout.run("status", "--stage", second)
    assert f"Error: Stage {second} is deployed in account" in failed.stderr

    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")

    assert functions(aws, REGION) == []
    name = f"taskrouter-callbacks-{second}"
    assert functions(aws, "us-east-1") == [name, f"{name}-sweep"]
    assert aws.list_resources()["roles"] == [f"{name}-api_handler", f"{name}-sweep"]
    unchanged = checkout.run("deploy", "--stage", second, "--no-check", **OTHER_REGION)
    assert "Nothing has changed." in unchanged.stderr
