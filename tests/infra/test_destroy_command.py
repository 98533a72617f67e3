"""The destroy command removes data only if no other stage uses the data."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import JSONFileLoader

from infra.aws import chalice_record, stacks, stage_config
from infra.aws.stage_config import Stage
from tests.infra.config_file import editing
from tests.infra.conftest import load_description
from tests.infra.test_commands import PARAMETER, config, operator  # noqa: F401  # fixtures

RESERVATIONS, STATE = TABLES = [
    f"taskrouter-callbacks-dev-{name}" for name in ("reservations", "state")
]
DESTROY = ("destroy", "--stage", "dev", "--data")
OTHER = "taskrouter-callbacks-prod"


@pytest.fixture
def owners(monkeypatch):
    """The stacks that own tables, by the name of the table."""
    owners = {}
    monkeypatch.setattr(stacks, "find_other_owner", lambda _aws, _stage, table: owners.get(table))
    return owners


@pytest.fixture
def stage(operator, owners, config, tmp_path, monkeypatch):  # noqa: F811
    """A function that runs a command for the stage dev, whose tables and secrets exist."""
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _loader, path: load_description(path))
    monkeypatch.setattr(Stage, "deployed_file", tmp_path / "dev.json")
    monkeypatch.setattr(chalice_record, "rebuild_record", lambda *_, **__: False)
    for name, value in (("outputs", {}), ("exists", False), ("delete", None)):
        monkeypatch.setattr(stacks, name, lambda *_, value=value: value)
    for table in TABLES:
        boto3.client("dynamodb").create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )
    boto3.client("ssm").put_parameter(Name=PARAMETER, Value="{}", Type="SecureString")
    return operator


def tables():
    return boto3.client("dynamodb").list_tables()["TableNames"]


def parameters():
    found = boto3.client("ssm").describe_parameters()["Parameters"]
    return [parameter["Name"] for parameter in found]


def test_tables_and_parameter_without_another_user_are_deleted(stage):
    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [])
    for label in (f"Table {RESERVATIONS}", f"Table {STATE}", f"Parameter {PARAMETER}"):
        assert f"{label}: deleted\n" in result.output


@pytest.mark.parametrize("data", [[], ["--data"]], ids=["without data", "with data"])
def test_stage_that_is_not_deployed_is_not_called_removed(stage, data):
    assert stage(*DESTROY, "--yes").output.splitlines()[-1].startswith("Stage dev is removed.")

    result = stage("destroy", "--stage", "dev", "--yes", *data)

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == (
        "Stage dev is not deployed in account 123456789012, eu-west-1. Nothing was removed."
    )


@pytest.mark.parametrize("missing", [["TWILIO_ACCOUNT_SID"], [*stage_config.SID_PREFIXES]])
def test_stage_without_sids_is_removed(stage, missing):
    stage_config.set_variables("dev", dict.fromkeys(missing, ""))

    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [])


def test_data_is_kept_without_the_option(stage):
    result = stage("destroy", "--stage", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("owned", [[RESERVATIONS], [STATE], TABLES], ids=" ".join)
def test_table_of_the_stack_of_another_stage_is_kept(stage, owners, owned):
    owners |= dict.fromkeys(owned, OTHER)

    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert tables() == owned
    for table in owned:
        assert f"Table {table}: kept, because the stack {OTHER} owns it\n" in result.output
        described = boto3.client("dynamodb").describe_table(TableName=table)["Table"]
        assert described["DeletionProtectionEnabled"]


def test_nothing_is_deleted_if_the_owner_cannot_be_read(stage, monkeypatch):
    def refuse(*_args):
        response = {"Error": {"Code": "AccessDenied", "Message": "Not allowed."}}
        raise ClientError(response, "DescribeStackResources")

    monkeypatch.setattr(stacks, "find_other_owner", refuse)
    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: AWS returned AccessDenied")
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("name", [PARAMETER, f" {PARAMETER}", PARAMETER[1:]])
def test_parameter_of_another_declared_stage_is_kept(stage, config, name):  # noqa: F811
    with editing(config.parents[1]) as project:
        project["stages"]["prod"]["environment_variables"]["SECRETS_PARAMETER"] = name

    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [PARAMETER])
    assert f"Parameter {PARAMETER}: kept, because stage prod uses it\n" in result.output


def test_parameter_that_all_stages_share_is_kept(stage, config):  # noqa: F811
    with editing(config.parents[1]) as project:
        project["environment_variables"] = {"SECRETS_PARAMETER": PARAMETER}
        for name in ("dev", "prod"):
            del project["stages"][name]["environment_variables"]["SECRETS_PARAMETER"]

    assert "kept, because stage " in stage(*DESTROY, "--yes").output
    assert parameters() == [PARAMETER]


def test_secret_in_secrets_manager_is_kept_and_named(stage, config):  # noqa: F811
    name = "/aws/reference/secretsmanager/twilio/dev"
    with editing(config.parents[1]) as project:
        project["stages"]["dev"]["environment_variables"]["SECRETS_PARAMETER"] = name

    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    kept = f"Parameter {name}: kept, because it is a secret in Secrets Manager\n"
    assert kept in result.output


def test_missing_data_is_not_reported_as_deleted(stage):
    stage(*DESTROY, "--yes")

    result = stage(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert "deleted" not in result.output
    for label in (f"Table {RESERVATIONS}", f"Table {STATE}", f"Parameter {PARAMETER}"):
        assert f"{label}: does not exist\n" in result.output


def test_confirmation_names_the_data_that_will_be_deleted(stage, owners):
    owners[STATE] = OTHER

    result = stage(*DESTROY, stdin="no\n")

    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert f"Table {RESERVATIONS}: will be deleted irreversibly" in lines
    assert f"Table {STATE}: kept, because the stack {OTHER} owns it" in lines
    assert f"Parameter {PARAMETER}: will be deleted irreversibly" in lines
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("command", ["status", "logs", "destroy", "secrets put --stdin", "sweep"])
def test_every_command_refuses_the_table_of_another_stage(stage, config, command):  # noqa: F811
    with editing(config.parents[1]) as project:
        project["stages"]["prod"]["environment_variables"]["RESERVATIONS_TABLE"] = RESERVATIONS

    result = stage(*command.split(), "--stage", "dev", stdin="{}")

    assert result.exit_code == 1
    assert result.output == (
        f"Error: Stage dev in .chalice/config.json: RESERVATIONS_TABLE must not be {RESERVATIONS}, "
        "which is also the RESERVATIONS_TABLE of stage prod, because each stage needs its own "
        "tables.\n"
    )


def resource(status, *, stack=OTHER, name=STATE):
    return {"StackName": stack, "PhysicalResourceId": name, "ResourceStatus": status}


@pytest.mark.parametrize(
    ("resources", "owner"),
    [
        ([resource("CREATE_COMPLETE")], OTHER),
        ([resource("CREATE_COMPLETE", name="topic"), resource("IMPORT_COMPLETE")], OTHER),
        ([resource("UPDATE_IN_PROGRESS")], OTHER),
        ([resource("DELETE_FAILED")], OTHER),
        ([resource("DELETE_SKIPPED"), resource("CREATE_COMPLETE", name="topic")], None),
        ([resource("DELETE_COMPLETE")], None),
        ([resource("CREATE_COMPLETE", stack="taskrouter-callbacks-dev")], None),
        ([{"StackName": OTHER, "ResourceStatus": "CREATE_IN_PROGRESS"}], None),
        ([], None),
    ],
)
def test_owner_is_the_stack_of_another_stage_that_still_has_the_table(resources, owner):
    def describe_stack_resources(**request):
        assert request == {"PhysicalResourceId": STATE}
        return {"StackResources": resources}

    assert find_owner(describe_stack_resources) == owner


@pytest.mark.parametrize("code", ["ValidationError", "AccessDenied", "Throttling"])
def test_table_without_a_stack_has_no_owner(code):
    def refuse(**_request):
        response = {"Error": {"Code": code, "Message": f"Stack for {STATE} does not exist"}}
        raise ClientError(response, "DescribeStackResources")

    if code == "ValidationError":
        assert find_owner(refuse) is None
    else:
        with pytest.raises(ClientError):
            find_owner(refuse)


def find_owner(describe_stack_resources):
    client = SimpleNamespace(describe_stack_resources=describe_stack_resources)
    stage = SimpleNamespace(stack="taskrouter-callbacks-dev")
    return stacks.find_other_owner(SimpleNamespace(client=lambda _: client), stage, STATE)
