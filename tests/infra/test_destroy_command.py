"""The destroy command removes data only if no other stage uses the data."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import JSONFileLoader

from infra.aws import chalice_record, stacks, stage_config
from infra.aws.stage_config import Stage
from tests.infra.config_file import edit_config
from tests.infra.conftest import load_description
from tests.infra.test_commands import PARAMETER, config, run_command  # noqa: F401  # fixtures

RESERVATIONS, STATE = TABLES = [
    f"taskrouter-callbacks-dev-{name}" for name in ("reservations", "state")
]
DESTROY = ("destroy", "--stage", "dev", "--data")
OTHER_STACK = "taskrouter-callbacks-prod"


@pytest.fixture
def owners(monkeypatch):
    """Other stages' stacks that own tables, by table name."""
    owners = {}
    monkeypatch.setattr(stacks, "find_other_owner", lambda _aws, _stage, table: owners.get(table))
    return owners


@pytest.fixture
def run(run_command, owners, config, tmp_path, monkeypatch):  # noqa: F811
    """A function that runs a command. The tables and secrets of stage dev exist."""
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
    return run_command


def tables():
    return boto3.client("dynamodb").list_tables()["TableNames"]


def parameters():
    found = boto3.client("ssm").describe_parameters()["Parameters"]
    return [parameter["Name"] for parameter in found]


def test_tables_and_parameter_that_no_other_stage_uses_are_deleted(run):
    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [])
    for label in (f"Table {RESERVATIONS}", f"Table {STATE}", f"Parameter {PARAMETER}"):
        assert f"{label}: deleted\n" in result.output


@pytest.mark.parametrize("data", [[], ["--data"]], ids=["without data", "with data"])
def test_stage_that_is_not_deployed_is_not_reported_as_removed(run, data):
    assert run(*DESTROY, "--yes").output.splitlines()[-1].startswith("Stage dev has been removed.")

    result = run("destroy", "--stage", "dev", "--yes", *data)

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == (
        "Stage dev is not deployed in account 123456789012, eu-west-1. Nothing was removed."
    )


@pytest.mark.parametrize("missing", [["TWILIO_ACCOUNT_SID"], [*stage_config.SID_PREFIXES]])
def test_stage_without_sids_is_removed(run, missing):
    stage_config.set_variables("dev", dict.fromkeys(missing, ""))

    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [])


def test_data_is_kept_without_the_data_option(run):
    result = run("destroy", "--stage", "dev", "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("owned", [[RESERVATIONS], [STATE], TABLES], ids=" ".join)
def test_table_owned_by_the_stack_of_another_stage_is_kept(run, owners, owned):
    owners |= dict.fromkeys(owned, OTHER_STACK)

    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert tables() == owned
    for table in owned:
        assert f"Table {table}: kept, because the stack {OTHER_STACK} owns it\n" in result.output
        described = boto3.client("dynamodb").describe_table(TableName=table)["Table"]
        assert described["DeletionProtectionEnabled"]


def test_nothing_is_deleted_if_the_owner_cannot_be_determined(run, monkeypatch):
    def refuse(*_args):
        response = {"Error": {"Code": "AccessDenied", "Message": "Not allowed."}}
        raise ClientError(response, "DescribeStackResources")

    monkeypatch.setattr(stacks, "find_other_owner", refuse)
    result = run(*DESTROY, "--yes")

    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith("Error: AWS returned AccessDenied")
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("name", [PARAMETER, f" {PARAMETER}", PARAMETER[1:]])
def test_parameter_that_another_declared_stage_uses_is_kept(run, config, name):  # noqa: F811
    with edit_config(config.parents[1]) as project:
        project["stages"]["prod"]["environment_variables"]["SECRETS_PARAMETER"] = name

    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert (tables(), parameters()) == ([], [PARAMETER])
    assert f"Parameter {PARAMETER}: kept, because stage prod uses it\n" in result.output


def test_parameter_that_all_stages_share_is_kept(run, config):  # noqa: F811
    with edit_config(config.parents[1]) as project:
        project["environment_variables"] = {"SECRETS_PARAMETER": PARAMETER}
        for name in ("dev", "prod"):
            del project["stages"][name]["environment_variables"]["SECRETS_PARAMETER"]

    assert "kept, because stage " in run(*DESTROY, "--yes").output
    assert parameters() == [PARAMETER]


def test_secret_in_secrets_manager_is_kept_and_reported(run, config):  # noqa: F811
    name = "/aws/reference/secretsmanager/twilio/dev"
    with edit_config(config.parents[1]) as project:
        project["stages"]["dev"]["environment_variables"]["SECRETS_PARAMETER"] = name

    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    kept = f"Parameter {name}: kept, because it is a secret in Secrets Manager\n"
    assert kept in result.output


def test_missing_data_is_not_reported_as_deleted(run):
    run(*DESTROY, "--yes")

    result = run(*DESTROY, "--yes")

    assert result.exit_code == 0, result.output
    assert "deleted" not in result.output
    for label in (f"Table {RESERVATIONS}", f"Table {STATE}", f"Parameter {PARAMETER}"):
        assert f"{label}: does not exist\n" in result.output


def test_confirmation_names_the_data_that_will_be_deleted(run, owners):
    owners[STATE] = OTHER_STACK

    result = run(*DESTROY, stdin="no\n")

    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert f"Table {RESERVATIONS}: will be deleted irreversibly" in lines
    assert f"Table {STATE}: kept, because the stack {OTHER_STACK} owns it" in lines
    assert f"Parameter {PARAMETER}: will be deleted irreversibly" in lines
    assert (tables(), parameters()) == (TABLES, [PARAMETER])


@pytest.mark.parametrize("command", ["status", "logs", "destroy", "secrets put --stdin", "sweep"])
def test_commands_refuse_the_table_of_another_stage(run, config, command):  # noqa: F811
    with edit_config(config.parents[1]) as project:
        project["stages"]["prod"]["environment_variables"]["RESERVATIONS_TABLE"] = RESERVATIONS

    result = run(*command.split(), "--stage", "dev", stdin="{}")

    assert result.exit_code == 1
    assert result.output == (
        f"Error: Stage dev in .chalice/config.json: RESERVATIONS_TABLE must not be {RESERVATIONS}, "
        "which is also the RESERVATIONS_TABLE of stage prod, because each stage needs its own "
        "tables.\n"
    )


def resource(status, *, stack=OTHER_STACK, name=STATE):
    return {"StackName": stack, "PhysicalResourceId": name, "ResourceStatus": status}


@pytest.mark.parametrize(
    ("resources", "owner"),
    [
        ([resource("CREATE_COMPLETE")], OTHER_STACK),
        ([resource("CREATE_COMPLETE", name="topic"), resource("IMPORT_COMPLETE")], OTHER_STACK),
        ([resource("UPDATE_IN_PROGRESS")], OTHER_STACK),
        ([resource("DELETE_FAILED")], OTHER_STACK),
        ([resource("DELETE_SKIPPED"), resource("CREATE_COMPLETE", name="topic")], None),
        ([resource("DELETE_COMPLETE")], None),
        ([resource("CREATE_COMPLETE", stack="taskrouter-callbacks-dev")], None),
        ([{"StackName": OTHER_STACK, "ResourceStatus": "CREATE_IN_PROGRESS"}], None),
        ([], None),
    ],
)
def test_owner_is_the_stack_of_another_stage_that_still_has_the_table(resources, owner):
    def describe_stack_resources(**request):
        assert request == {"PhysicalResourceId": STATE}
        return {"StackResources": resources}

    assert find_owner(describe_stack_resources) == owner


@pytest.mark.parametrize("code", ["ValidationError", "AccessDenied", "Throttling"])
def test_only_a_validation_error_means_that_no_stack_owns_the_table(code):
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
