"""A user's mistake ends a Chalice command with one message instead of a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from chalice import cli

from app import app
from chalicelib.config import PROJECT
from chalicelib.routes.callbacks import twilio_routes
from infra import OperatorError, chalice_hook
from infra.aws import Aws, api_settings, live_resources, policies, stacks, stage_config
from infra.commands import secrets
from tests.infra.config_file import edit_config
from tests.infra.packaging import SIDS

CHALICE = Path(sys.executable).with_name("chalice")
COPIED = ("app.py", "chalicelib", "infra", "local", ".chalice")
WITHOUT_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_MAX_ATTEMPTS": "1",
}
REGION = {"AWS_DEFAULT_REGION": "eu-west-1"}
FAKE_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
UNKNOWN_PROFILE = (
    "The config profile ({}) could not be found. Correct AWS_PROFILE. To list the names, run: "
    "aws configure list-profiles"
)
WRONG_REGION = (
    "AWS_DEFAULT_REGION, or the region of the AWS profile, must be an AWS region such as eu-west-1"
)
MISSPELLED_STAGE = (
    "There is no stage 'dve' in config.json. Declared stages: dev, local, prod. Did you mean dev?"
)
LOCAL_ONLY = (
    "Stage local in .chalice/config.json: SETTINGS_DEFAULTS is for local use only, so this stage "
    "can't be deployed. Deployable stages: dev, prod."
)
SID_SETTINGS = "TWILIO_ACCOUNT_SID, TWILIO_WORKSPACE_SID, TWILIO_WORKFLOW_SID"


class Checkout:
    """A checkout in which Chalice's commands run without access to AWS."""

    def __init__(self, folder):
        self.folder = folder
        for name in COPIED:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, folder / name)
        (folder / "requirements.txt").touch()

    def set_variables(self, **variables):
        with edit_config(self.folder) as config:
            config["stages"]["dev"]["environment_variables"] |= variables

    def chalice(self, *arguments, **variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [CHALICE, *arguments],
            cwd=self.folder,
            env=clean | WITHOUT_AWS | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize("command", [["deploy"], ["dev", "plan"], ["package", "out"]])
@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("dve", MISSPELLED_STAGE),
        ("local", LOCAL_ONLY),
    ],
)
def test_stage_that_cannot_be_deployed_is_refused(checkout, command, stage, message):
    completed = checkout.chalice(*command, "--stage", stage, **REGION)

    assert (completed.returncode, completed.stderr) == (1, f"Error: {message}\n")


def test_deployment_with_empty_sids_is_refused(checkout):
    completed = checkout.chalice("deploy", **REGION)

    assert completed.returncode == 1
    assert completed.stderr == (
        f"Error: Stage dev is not prepared: .chalice/config.json does not set {SID_SETTINGS}. Run "
        "this command, which asks for the missing values: python -m infra prepare --stage dev\n"
    )


@pytest.mark.parametrize("command", [["deploy"], ["package", "out"]])
def test_invalid_setting_is_rejected(checkout, command):
    checkout.set_variables(**SIDS, RETENTION_DAYS="forever")

    completed = checkout.chalice(*command, **REGION)

    assert completed.returncode == 1
    assert completed.stderr == (
        "Error: Stage dev in .chalice/config.json: RETENTION_DAYS must be a whole number from 1 "
        "to 3650.\n"
    )


@pytest.mark.parametrize("command", [["deploy"], ["dev", "plan"], ["package", "out"]])
def test_contradictory_settings_are_rejected(checkout, command):
    checkout.set_variables(**SIDS, REJECT_AFTER_SECONDS="500", RESERVATION_TIMEOUT_SECONDS="120")

    completed = checkout.chalice(*command, **REGION)

    assert completed.returncode == 1
    assert completed.stderr.startswith(
        "Error: Stage dev in .chalice/config.json: REJECT_AFTER_SECONDS + 60 (the sweep interval) "
    )
    assert completed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        ([], REGION, "Error: No AWS credentials were found. Log in (aws sso login, "),
        ([], FAKE_CREDENTIALS, "Error: No AWS region is set. Set one, for example: "),
        (["--profile", "nobody"], REGION, f"Error: {UNKNOWN_PROFILE.format('nobody')}"),
        ([], REGION | FAKE_CREDENTIALS, "Error: AWS at http://127.0.0.1:9 can't be reached: "),
    ],
)
def test_missing_access_to_aws_is_reported_on_one_line(checkout, options, variables, message):
    checkout.set_variables(**SIDS)

    completed = checkout.chalice("deploy", *options, **variables)

    assert completed.returncode == 1
    assert completed.stderr.startswith(message)
    assert completed.stderr.count("\n") == 1


def test_packaging_needs_no_credentials_and_warns_about_empty_sids(checkout):
    completed = checkout.chalice("package", "out", **REGION)

    assert completed.returncode == 0, completed.stderr
    assert (checkout.folder / "out" / "sam.json").exists()
    (warning,) = [line for line in completed.stderr.splitlines() if line.startswith("Warning:")]
    assert f" stage dev in .chalice/config.json does not set {SID_SETTINGS}. " in warning


def test_packaging_a_stage_with_all_sids_prints_no_warning(checkout):
    checkout.set_variables(**SIDS)

    completed = checkout.chalice("package", "out", **REGION)

    assert completed.returncode == 0
    assert "Warning" not in completed.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "No AWS region is set. Set one, for example: export AWS_DEFAULT_REGION=eu-west-1"),
        (REGION | {"AWS_PROFILE": "nope"}, UNKNOWN_PROFILE.format("nope")),
        *(
            (
                {"AWS_DEFAULT_REGION": region},
                f"{WRONG_REGION}, not '{region}'.",
            )
            for region in ("eu west", "eu_west1", "mars", "eu-west1")
        ),
    ],
)
def test_packaging_without_a_valid_region_or_profile_is_refused(checkout, variables, message):
    checkout.set_variables(**SIDS)

    completed = checkout.chalice("package", "out", **variables)

    assert (completed.returncode, completed.stderr.splitlines()[-1]) == (1, f"Error: {message}")
    assert "Traceback" not in completed.stderr


def test_file_that_cannot_be_written_is_reported_with_its_path(checkout):
    policies_folder = checkout.folder / ".chalice" / "policies"
    shutil.rmtree(policies_folder)
    policies_folder.touch()

    completed = checkout.chalice("package", "out", **REGION)

    assert completed.returncode == 1
    assert completed.stderr == (
        f"Error: {policies_folder} can't be read or written: File exists.\n"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("environment_variables", [1]),
        ("environment_variables", {"TWILIO_WORKSPACESID": "x"}),
        ("environment_variables", {"TWILIO_AUTH_TOKEN": "0123456789abcdef" * 2}),
        ("lambda_memory_sizee", 512),
        ("lambda_timeout", "60"),
        ("api_gateway_custom_domain", "x"),
        ("api_gateway_custom_domain", None),
    ],
)
def test_mistake_in_the_configuration_is_reported_on_one_line(checkout, key, value):
    with edit_config(checkout.folder) as config:
        config["stages"]["dev"][key] = value

    completed = checkout.chalice("package", "out", **REGION)

    assert completed.returncode == 1
    assert completed.stderr.startswith("Error: Stage dev in .chalice/config.json: ")
    assert completed.stderr.count("\n") == 1
    assert "0123456789abcdef" not in completed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["file"], "Error: file can't be read or written: File exists.\n"),
        (
            ["/proc/none"],
            "Error: /proc/none can't be read or written: No such file or directory.\n",
        ),
        (["--merge-template", "none.json", "out"], "Error: Cannot find template file: "),
        (["--merge-template", "file", "out"], "/file to be valid JSON template.\n"),
    ],
)
def test_error_after_the_checks_is_printed_without_a_traceback(checkout, arguments, message):
    (checkout.folder / "file").touch()

    completed = checkout.chalice("package", *arguments, **REGION)

    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("api_gateway_policy_file", "none.json", "Error: Unable to load IAM policy file "),
    ],
)
def test_value_refused_by_chalice_is_reported_without_a_traceback(checkout, key, value, message):
    checkout.set_variables(**SIDS)
    with edit_config(checkout.folder) as config:
        config["stages"]["dev"][key] = value

    completed = checkout.chalice("package", "out", **REGION)

    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr


def test_debug_option_prints_the_traceback(checkout):
    completed = checkout.chalice("--debug", "package", "--merge-template", "none", "out", **REGION)

    assert "Traceback" in completed.stderr


def test_packaged_policies_contain_a_changed_table_name(checkout):
    checkout.set_variables(**SIDS, STATE_TABLE="renamed")

    checkout.chalice("package", "out", **REGION)

    template = (checkout.folder / "out" / "sam.json").read_text()
    assert "arn:*:dynamodb:*:*:table/renamed" in template


@pytest.mark.parametrize("autoreload", ["--autoreload", "--no-autoreload"])
def test_local_server_is_configured_with_the_options_of_the_command(checkout, autoreload):
    (checkout.folder / "local" / "chalice_local.py").write_text(
        "def configure(app, **options):\n    raise SystemExit(f'{app.app_name} {options}')\n"
    )

    completed = checkout.chalice("local", "--stage", "dev", "--port", "8123", autoreload)

    assert completed.stderr == (
        "taskrouter-callbacks {'stage': 'dev', 'host': '127.0.0.1', 'port': 8123}\n"
    )


def test_appgraph_command_checks_the_rules_but_not_the_sids(checkout):
    assert checkout.chalice("dev", "appgraph", **REGION).returncode == 0
    (checkout.folder / "chalicelib" / "rules.toml").write_text("[[rule")

    completed = checkout.chalice("dev", "appgraph", **REGION)

    assert completed.returncode == 1
    assert completed.stderr.startswith("Error: chalicelib/rules.toml: the file is not valid TOML")


@pytest.fixture
def account(tmp_path, monkeypatch):
    """An account with the stage's secrets, but without its stack, for commands in this process."""
    checkout = Checkout(tmp_path)
    checkout.set_variables(**SIDS)
    monkeypatch.setattr(stage_config, "CONFIG", tmp_path / ".chalice" / "config.json")
    monkeypatch.setattr(policies, "write", lambda stage: None)
    account = Aws(None, "aws", "eu-west-1", "1" * 12, "arn:aws:iam::1:user/ann")
    monkeypatch.setattr(chalice_hook, "connect", lambda profile: account)
    for check in ("ensure_same_region", "ensure_created_by_chalice"):
        monkeypatch.setattr(live_resources, check, lambda *_: None)
    monkeypatch.setattr(stacks, "outputs", lambda *_: {})
    monkeypatch.setattr(secrets, "exist", lambda *_: True)


def run_hook(command, **parameters):
    with click.Context(click.Command(command), info_name=command) as context:
        context.params |= {"stage": "dev", "profile": None, **parameters}
        chalice_hook.run(app)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("command", ["deploy", "plan"])
def test_error_for_an_unprepared_stage_names_the_command_that_prepares_it(command):
    with pytest.raises(SystemExit) as stopped:
        run_hook(command)

    assert stopped.value.code == (
        "Error: Stage dev is not prepared in account 111111111111, eu-west-1. "
        "Run: python -m infra prepare --stage dev"
    )


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("outputs", [{}, {"Deployments": "bucket"}])
def test_error_for_missing_secrets_names_the_prepare_command(monkeypatch, outputs):
    monkeypatch.setattr(secrets, "exist", lambda *_: False)
    monkeypatch.setattr(stacks, "outputs", lambda *_: outputs)

    with pytest.raises(SystemExit) as stopped:
        run_hook("deploy")

    assert stopped.value.code == (
        "Error: Stage dev is not prepared in account 111111111111, eu-west-1: it has no secrets. "
        "Run this command, which asks for the missing values: "
        "python -m infra prepare --stage dev"
    )


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("deploy", {"autogen_policy": True}, "--autogen-policy can't be used, because a policy"),
        ("plan", {"autogen_policy": True}, "--autogen-policy can't be used, because a policy"),
        ("deploy", {"api_gateway_stage": "foo"}, "--api-gateway-stage must equal the stage name"),
        ("plan", {"api_gateway_stage": ""}, "--api-gateway-stage must equal the stage name (dev)"),
        ("package", {"pkg_format": "terraform"}, "--pkg-format must be cloudformation."),
    ],
)
def test_option_with_an_unsupported_value_is_refused(command, options, message):
    with pytest.raises(SystemExit) as stopped:
        run_hook(command, **options)

    assert str(stopped.value.code).startswith(f"Error: The option {message}")


@pytest.mark.usefixtures("account")
def test_options_with_supported_values_are_accepted():
    with pytest.raises(SystemExit, match="is not prepared"):
        run_hook("deploy", autogen_policy=False, api_gateway_stage="dev", connection_timeout=5)


def test_every_option_of_deploy_plan_and_package_has_a_check():
    commands = (cli.deploy, cli.plan, cli.package)

    options = {parameter.name for command in commands for parameter in command.params}
    assert options == chalice_hook.OPTIONS.keys()


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("check", ["ensure_same_region", "ensure_created_by_chalice"])
def test_deployment_is_refused_if_a_check_of_the_live_resources_fails(monkeypatch, check):
    def refuse(*_):
        raise OperatorError("The check failed.")

    monkeypatch.setattr(live_resources, check, refuse)

    with pytest.raises(SystemExit, match=r"^Error: The check failed\.$"):
        run_hook("deploy")


def test_hook_without_a_chalice_command_checks_the_rules(tmp_path, monkeypatch):
    assert chalice_hook.run(app) is None
    monkeypatch.setenv("RULES_FILE", str(tmp_path / "absent.toml"))

    with pytest.raises(SystemExit, match="The rules file .* can't be read"):
        chalice_hook.run(app)


SECRETS = ["first-secret_0123456", "NextSecret9876543210"]


@pytest.mark.parametrize(
    ("value", "prefixes"),
    [
        ("open", [""]),
        (SECRETS[0], [f"/{SECRETS[0]}"]),
        (f"{SECRETS[0]},open", [f"/{SECRETS[0]}", ""]),
        (",".join(SECRETS), [f"/{secret}" for secret in SECRETS]),
    ],
)
def test_package_contains_the_secret_paths_with_their_throttles(
    checkout, monkeypatch, value, prefixes
):
    checkout.set_variables(**SIDS, CALLBACK_PATH_SECRETS=value)
    monkeypatch.setattr(stage_config, "CONFIG", checkout.folder / ".chalice" / "config.json")
    merged = api_settings.merged_template(stage_config.read("dev"), concurrency=1_000)
    (checkout.folder / "merged.json").write_text(json.dumps(merged))

    completed = checkout.chalice("package", "--merge-template", "merged.json", "out", **REGION)

    assert (completed.returncode, completed.stderr) == (0, "")
    assert not any(secret in completed.stdout for secret in SECRETS)
    sam = json.loads((checkout.folder / "out" / "sam.json").read_text())
    api = sam["Resources"]["RestAPI"]["Properties"]
    twilio_paths = {path for path, _ in twilio_routes(app)}
    expected = {prefix + path for prefix in prefixes for path in twilio_paths}
    assert set(api["DefinitionBody"]["paths"]) == expected | (set(app.routes) - twilio_paths)
    rates = {
        method["ResourcePath"]: method["ThrottlingRateLimit"] for method in api["MethodSettings"]
    }
    high = {path for path, rate in rates.items() if rate > rates["/*"]}
    console = {"/overview", "/console/{version}/{name}"}
    assert high == {f"/{path.replace('/', '~1')}" for path in expected | console}


def test_app_on_lambda_serves_the_secret_paths(checkout):
    variables = SIDS | {
        "AWS_LAMBDA_FUNCTION_NAME": "api",
        "CALLBACK_PATH_SECRETS": SECRETS[0],
        "TWILIO_AUTH_TOKEN": "auth token",
        "TWILIO_API_KEY_SID": "SK" + "b" * 32,
        "TWILIO_API_KEY_SECRET": "API key secret",
        "RESERVATIONS_TABLE": "reservations",
        "STATE_TABLE": "state",
    }
    completed = subprocess.run(
        [sys.executable, "-c", "import app; print(*app.app.routes)"],
        cwd=checkout.folder,
        env=os.environ | WITHOUT_AWS | REGION | FAKE_CREDENTIALS | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    routes = set(completed.stdout.split())
    twilio_paths = {path for path, _ in twilio_routes(app)}
    assert routes == {f"/{SECRETS[0]}{path}" for path in twilio_paths} | (
        set(app.routes) - twilio_paths
    )
