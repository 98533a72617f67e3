"""An unchanged stage is not deployed again, but a changed stage is."""

import json

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, deploy, put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAME = f"taskrouter-callbacks-{STAGE}"
UNCHANGED = "Nothing has changed.\n"


@pytest.fixture
def url(aws, checkout, secrets):
    """The URL of a deployed stage."""
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url)
    deploy(checkout)
    return url


def deployed_state(aws):
    """Return the properties of the stage that a deployment can change."""
    functions = aws.client("lambda").list_functions()["Functions"]
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    deployments = aws.client("apigateway").get_deployments(restApiId=api["id"])["items"]
    events = aws.client("cloudformation").describe_stack_events(StackName=NAME)["StackEvents"]
    return {
        "functions": [
            (function["FunctionName"], function["CodeSha256"], function["LastModified"])
            for function in functions
        ],
        "deployments": sorted(deployment["id"] for deployment in deployments),
        "stack events": len(events),
    }


def test_unchanged_stage_is_not_deployed_again(aws, checkout, url):
    before = deployed_state(aws)

    completed = checkout.run("deploy", "--stage", STAGE)

    assert completed.returncode == 0, completed.stderr
    checked = f"{UNCHANGED}{url} is up: /health and the signature check passed.\n"
    assert checked in completed.stderr
    assert completed.stdout == f"{url}/assignment_callback\n"
    assert deployed_state(aws) == before

    # After a plain `chalice deploy`, `infra deploy` deploys the stage again.
    assert checkout.chalice("deploy", "--stage", STAGE).returncode == 0
    assert UNCHANGED not in checkout.run("deploy", "--stage", STAGE).stderr


def test_changed_file_is_deployed(aws, checkout, url, http):
    before = deployed_state(aws)
    checkout.change_version("9.9.9")

    deploy(checkout)

    after = deployed_state(aws)
    assert all(
        old[1:] != new[1:]
        for old, new in zip(*(state["functions"] for state in (before, after)), strict=True)
    )
    assert set(after["deployments"]) > set(before["deployments"])
    assert http.get(f"{url}/health").json()["version"] == "9.9.9"


def break_function(aws):
    aws.client("lambda").update_function_configuration(FunctionName=f"{NAME}-sweep", Timeout=3)
    return lambda: aws.client("lambda").get_function_configuration(FunctionName=f"{NAME}-sweep")[
        "Timeout"
    ]


def delete_schedule(aws):
    events, rule = aws.client("events"), f"{NAME}-sweep-event"
    events.remove_targets(Rule=rule, Ids=["1"])
    events.delete_rule(Name=rule)
    return lambda: aws.list_resources().get("rules")


def break_policy(aws):
    iam, role = aws.client("iam"), f"{NAME}-sweep"
    statement = {"Effect": "Allow", "Action": "xray:PutTraceSegments", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=document)
    return lambda: (
        len(iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]["Statement"]) > 1
    )


def replace_roles(aws):
    """Replace the roles as `chalice deploy --autogen-policy` does."""
    iam, functions = aws.client("iam"), aws.client("lambda")
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    iam.put_role_policy(RoleName=NAME, PolicyName=NAME, PolicyDocument=document)
    for name in (NAME, f"{NAME}-sweep"):
        functions.update_function_configuration(FunctionName=name, Role=arn)
    for name in (f"{NAME}-api_handler", f"{NAME}-sweep"):
        iam.delete_role_policy(RoleName=name, PolicyName=name)
        iam.delete_role(RoleName=name)

    def roles():
        listed = {role["RoleName"] for role in iam.list_roles()["Roles"]}
        configured = functions.list_functions()["Functions"]
        used = sorted(function["Role"].rpartition("/")[2] for function in configured)
        return NAME in listed, used

    return roles


def remove_targets(aws):
    events, rule = aws.client("events"), f"{NAME}-sweep-event"
    events.remove_targets(Rule=rule, Ids=["1"])
    return lambda: len(events.list_targets_by_rule(Rule=rule)["Targets"])


def remove_permissions(aws, name=NAME):
    functions = aws.client("lambda")

    def count():
        try:
            return len(json.loads(functions.get_policy(FunctionName=name)["Policy"])["Statement"])
        except functions.exceptions.ResourceNotFoundException:
            return 0

    policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
    for statement in policy["Statement"]:
        functions.remove_permission(FunctionName=name, StatementId=statement["Sid"])
    return count


def remove_sweep_permissions(aws):
    return remove_permissions(aws, f"{NAME}-sweep")


def delete_retry_settings(aws):
    functions, name = aws.client("lambda"), f"{NAME}-sweep"
    functions.delete_function_event_invoke_config(FunctionName=name)

    def attempts():
        try:
            response = functions.get_function_event_invoke_config(FunctionName=name)
        except functions.exceptions.ResourceNotFoundException:
            return None
        return response["MaximumRetryAttempts"]

    return attempts


@pytest.mark.parametrize(
    ("change", "repaired"),
    [
        (break_function, 60),
        (delete_schedule, [f"{NAME}-sweep-event"]),
        (break_policy, True),
        (replace_roles, (False, [f"{NAME}-api_handler", f"{NAME}-sweep"])),
        (remove_targets, 1),
        (remove_permissions, 1),
        (remove_sweep_permissions, 1),
        (delete_retry_settings, 0),
    ],
)
@pytest.mark.usefixtures("url")
def test_resource_changed_outside_the_project_is_repaired(aws, checkout, change, repaired):
    current = change(aws)
    assert current() != repaired

    deploy(checkout)

    assert current() == repaired


@pytest.mark.usefixtures("url")
def test_deployment_is_repeated_after_a_failure(checkout):
    path = checkout.folder / ".chalice" / "config.json"
    valid = path.read_text()
    (checkout.folder / ".chalice" / "malformed.json").write_text("{")
    keys = '"api_gateway_policy_file": "malformed.json", "api_gateway_endpoint_type"'
    path.write_text(valid.replace('"api_gateway_endpoint_type"', keys))
    assert checkout.run("deploy", "--stage", STAGE).returncode == 1
    path.write_text(valid)

    completed = checkout.run("deploy", "--stage", STAGE)

    assert completed.returncode == 0, completed.stderr
    assert UNCHANGED not in completed.stderr
    assert UNCHANGED in checkout.run("deploy", "--stage", STAGE).stderr
