"""Commands find a stage's resources in AWS and do not change other stages."""

import json
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra import OperatorError
from infra.aws import Aws, chalice_record, live_resources

APP = "taskrouter-callbacks"
DOMAIN = "calls.example.com"


@pytest.fixture
def aws(monkeypatch):
    for name, value in {"ACCESS_KEY_ID": "moto", "SECRET_ACCESS_KEY": "moto"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        session = boto3.Session(region_name="eu-west-1")
        moto = Aws(session, "aws", "eu-west-1", "123456789012", "arn:aws:iam::123456789012:root")
        gateway = FakeGateway()
        yield SimpleNamespace(
            partition="aws",
            region="eu-west-1",
            gateway=gateway,
            client=lambda name: gateway if name == "apigateway" else moto.client(name),
        )


@pytest.fixture
def stage(tmp_path):
    return SimpleNamespace(
        name="prod",
        app=APP,
        domain=DOMAIN,
        schedule=f"{APP}-prod-sweep-event",
        function=lambda handler: f"{APP}-prod" + ("-sweep" if handler == "sweep" else ""),
        role=lambda handler: f"{APP}-prod-{handler}",
        deployed_file=tmp_path / "prod.json",
    )


def make_role(aws, name, region, account="123456789012"):
    iam = aws.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    table = f"arn:*:dynamodb:{region}:{account}:table/t"
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": table}],
    }
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(document))


class FakeGateway:
    """A fake API Gateway with APIs and one domain. moto's fake needs a dozen more packages.

    Attributes:
        functions: Name of the function that each API calls, by API ID.
        mappings: Base path mappings of the domain.
    """

    def __init__(self):
        self.functions, self.mappings = {}, []

    def get_paginator(self, _name):
        apis = [{"id": api_id, "name": APP} for api_id in self.functions]
        return SimpleNamespace(paginate=lambda: [{"items": apis}])

    def get_rest_api(self, *, restApiId):  # noqa: N803  boto3's name
        if restApiId not in self.functions:
            raise ClientError({"Error": {"Code": "NotFoundException"}}, "GetRestApi")
        return {"id": restApiId}

    def get_resources(self, *, restApiId, **_kwargs):  # noqa: N803  boto3's parameter name
        uri = f"arn:aws:lambda:eu-west-1:123456789012:function:{self.functions[restApiId]}/invoke"
        return {"items": [{"resourceMethods": {"GET": {"methodIntegration": {"uri": uri}}}}]}

    def get_base_path_mappings(self, *, domainName):  # noqa: N803
        if not self.mappings:
            error = {"Error": {"Code": "NotFoundException"}}
            raise ClientError(error, "GetBasePathMappings")
        assert domainName == DOMAIN
        return {"items": self.mappings}

    def get_domain_name(self, **_kwargs):
        return {}

    def map_domain_to(self, *api_ids):
        paths = ["(none)", "other"]
        self.mappings = [
            {"basePath": path, "restApiId": api_id}
            for path, api_id in zip(paths, api_ids, strict=False)
        ]


@pytest.mark.parametrize("handler", ["api_handler", "sweep"])
def test_stage_in_another_region_is_refused_without_changes(aws, stage, handler):
    make_role(aws, stage.role(handler), "us-east-1")

    with pytest.raises(OperatorError, match="in a region other than eu-west-1"):
        chalice_record.rebuild_record(aws, stage, None)
    assert not stage.deployed_file.exists()
    assert aws.client("iam").get_role(RoleName=stage.role(handler))


def test_roles_in_this_region_are_recorded(aws, stage):
    make_role(aws, stage.role("sweep"), "eu-west-1")

    assert chalice_record.rebuild_record(aws, stage, None)
    (entry,) = json.loads(stage.deployed_file.read_text())["resources"]
    assert entry["role_name"] == stage.role("sweep")


@pytest.mark.parametrize("stack_exists", [True, False])
def test_role_without_a_function_belongs_to_this_region_only_if_the_stack_exists(
    aws, stage, monkeypatch, stack_exists
):
    make_role(aws, stage.role("sweep"), "*", account="*")
    monkeypatch.setattr(live_resources.stacks, "exists", lambda *_: stack_exists)

    if stack_exists:
        assert live_resources.ensure_same_region(aws, stage) is None
    else:
        with pytest.raises(OperatorError, match="in a region other than eu-west-1"):
            live_resources.ensure_same_region(aws, stage)


def deploy_function(monkeypatch, role):
    function = {
        "FunctionName": f"{APP}-prod",
        "FunctionArn": f"arn:aws:lambda:eu-west-1:123456789012:function:{APP}-prod",
        "Role": f"arn:aws:iam::123456789012:role/{role}",
    }
    monkeypatch.setattr(live_resources, "_find_function", lambda *_: function)


def test_role_with_a_generated_policy_is_recorded_so_that_chalice_replaces_it(
    aws, stage, monkeypatch
):
    make_role(aws, f"{APP}-prod", "eu-west-1")
    deploy_function(monkeypatch, f"{APP}-prod")

    assert chalice_record.rebuild_record(aws, stage, None)

    resources = json.loads(stage.deployed_file.read_text())["resources"]
    (role,) = [entry for entry in resources if entry["resource_type"] == "iam_role"]
    assert (role["name"], role["role_name"]) == ("default-role", f"{APP}-prod")


@pytest.mark.parametrize("role", ["own", f"{APP}-prod-ApiHandlerRole-1ABC", f"{APP}-prod2"])
def test_error_for_a_role_not_created_by_chalice_names_both_remedies(aws, stage, monkeypatch, role):
    deploy_function(monkeypatch, role)

    with pytest.raises(OperatorError) as raised:
        live_resources.ensure_created_by_chalice(aws, stage)

    assert "keep deploying with CloudFormation" in str(raised.value)
    assert f"aws lambda delete-function --function-name {APP}-prod)" in str(raised.value)
    assert str(raised.value).endswith("python -m infra deploy --stage prod")


@pytest.mark.parametrize("recorded_id", ["old", None])
def test_checkout_without_a_record_of_the_existing_api_is_refused(aws, stage, recorded_id):
    aws.gateway.functions["own"] = f"{APP}-prod"
    if recorded_id:
        write_record(stage, recorded_id)

    with pytest.raises(OperatorError, match="does not record the API own .*infra prepare"):
        chalice_record.ensure_current(aws, stage)


@pytest.mark.parametrize("functions", [{"own": f"{APP}-prod"}, {}])
def test_record_of_the_existing_api_or_of_a_deleted_api_is_accepted(aws, stage, functions):
    aws.gateway.functions |= functions
    write_record(stage, "own")

    assert chalice_record.ensure_current(aws, stage) is None


def write_record(stage, api_id):
    api = {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api_id}
    stage.deployed_file.write_text(json.dumps({"resources": [api]}))


def test_domain_is_found_without_a_record(aws, stage):
    aws.gateway.functions["own"] = f"{APP}-prod"
    aws.gateway.map_domain_to("own")

    assert chalice_record.rebuild_record(aws, stage, None, domain=DOMAIN)
    *_, last = json.loads(stage.deployed_file.read_text())["resources"]
    assert last == {
        "name": "api_gateway_custom_domain",
        "resource_type": "domain_name",
        "domain_name": DOMAIN,
        "api_mapping": [{"key": "/"}],
    }


def test_removal_of_a_domain_used_by_other_apis_is_refused(aws, stage):
    aws.gateway.functions |= {"own": f"{APP}-prod", "other": f"{APP}-dev"}
    aws.gateway.map_domain_to("own", "other")

    with pytest.raises(OperatorError, match="is also mapped to other APIs .other."):
        chalice_record.rebuild_record(aws, stage, None)
    assert chalice_record.rebuild_record(aws, stage, None, domain=DOMAIN), (
        "The record was not rebuilt for a deployment that keeps the domain."
    )


@pytest.fixture
def _no_stack(monkeypatch):
    monkeypatch.setattr(live_resources.stacks, "last_change", lambda *_: None)
    monkeypatch.setattr(FakeGateway, "get_stage", lambda *_, **__: {}, raising=False)


@pytest.fixture
def clients(aws, stage, _no_stack):
    """Lambda and EventBridge clients, after a deployment of the functions and the schedule."""
    functions, events = aws.client("lambda"), aws.client("events")
    for handler in ("api_handler", "sweep"):
        make_role(aws, stage.role(handler), "*")
        role = aws.client("iam").get_role(RoleName=stage.role(handler))["Role"]["Arn"]
        functions.create_function(
            FunctionName=stage.function(handler),
            Runtime="python3.13",
            Role=role,
            Handler="app.app",
            Code={"ZipFile": b""},
        )
        functions.add_permission(
            FunctionName=stage.function(handler),
            StatementId="caller",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
        )
    functions.put_function_event_invoke_config(
        FunctionName=stage.function("sweep"), MaximumRetryAttempts=0
    )
    arn = f"arn:aws:lambda:eu-west-1:123456789012:function:{stage.function('sweep')}"
    events.put_rule(Name=stage.schedule, ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule=stage.schedule, Targets=[{"Id": "1", "Arn": arn}])
    return SimpleNamespace(functions=functions, events=events)


def remove_targets(clients, stage):
    clients.events.remove_targets(Rule=stage.schedule, Ids=["1"])


def remove_callers_of_api(clients, stage):
    name = stage.function("api_handler")
    clients.functions.remove_permission(FunctionName=name, StatementId="caller")


def remove_callers_of_sweep(clients, stage):
    name = stage.function("sweep")
    clients.functions.remove_permission(FunctionName=name, StatementId="caller")


def delete_retry_settings(clients, stage):
    clients.functions.delete_function_event_invoke_config(FunctionName=stage.function("sweep"))


@pytest.mark.parametrize(
    "remove",
    [remove_targets, remove_callers_of_api, remove_callers_of_sweep, delete_retry_settings],
)
def test_removing_a_part_of_the_deployment_changes_the_versions(aws, stage, clients, remove):
    before = live_resources.describe_versions(aws, stage, "own")
    assert live_resources.describe_versions(aws, stage, "own") == before

    remove(clients, stage)

    assert live_resources.describe_versions(aws, stage, "own") != before


@pytest.mark.usefixtures("_no_stack")
def test_missing_parts_have_empty_versions(aws, stage):
    versions = live_resources.describe_versions(aws, stage, "own")

    assert (versions["targets"], versions["sweep callers"]) == ([], None)
    assert versions["retries"] == [None, None]


def test_empty_account_has_no_resources(aws, stage):
    assert live_resources.list_resources(aws, stage, recorded_api_id=None) == []
    assert not chalice_record.rebuild_record(aws, stage, None)
