"""What `chalice package` makes of config.json, the policies and what we merge in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import app
from infra import declared, permissions, tuning
from infra.aws import Aws
from local.processes import ROOT
from tests.infra import templates

STAGES = ["dev", "prod"]
SIDS = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
}


@pytest.fixture(scope="module", params=STAGES)
def packaged(request, tmp_path_factory):
    """The stage, its template, and the template's file."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "chalicelib", folder / "chalicelib")
    (folder / "requirements.txt").touch()  # nothing to install: only the template is looked at
    (folder / ".chalice").mkdir()
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    config["stages"][request.param]["environment_variables"] |= SIDS
    (folder / ".chalice" / "config.json").write_text(json.dumps(config))

    stage = read(request.param, folder)
    place = Aws(session=None, partition="aws", region="eu-west-1", account="1" * 12)
    permissions.write(place, stage, folder)
    (folder / "merged.json").write_text(json.dumps(tuning.merged_template(stage)))
    chalice = [sys.executable, "-c", "from chalice.cli import main; main()", "package"]
    subprocess.run(
        [*chalice, "--stage", stage.name, "--merge-template", "merged.json", "out"],
        cwd=folder,
        env=os.environ | {"AWS_DEFAULT_REGION": "eu-west-1"},
        check=True,
        capture_output=True,
    )
    template = folder / "out" / "sam.json"
    return stage, json.loads(template.read_text()), template


def read(name, folder):
    with pytest.MonkeyPatch.context() as patch:
        whole = json.loads((folder / ".chalice" / "config.json").read_text())
        patch.setattr(declared.stages, "project", lambda *_: whole)
        environ = whole["stages"][name]["environment_variables"]
        patch.setattr(declared.stages, "environment", lambda *_: environ)
        return declared.read(name)


def resources(template, kind):
    found = templates.of_type(template, kind)
    assert found
    return found


def test_the_template_is_valid(packaged):
    _, _, file = packaged
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_functions_have_the_names_that_logs_alarms_and_policies_go_by(packaged):
    stage, template, _ = packaged
    functions = resources(template, "AWS::Serverless::Function")
    assert {one["FunctionName"] for one in functions.values()} == {
        stage.function(declared.API),
        stage.function(declared.SWEEP),
    }
    groups = templates.of_type(templates.read("stage.yaml"), "AWS::Logs::LogGroup")
    assert {templates.with_stage(one["LogGroupName"], stage.name) for one in groups.values()} == {
        stage.log_group(declared.API),
        stage.log_group(declared.SWEEP),
    }


def test_every_function_has_a_role_of_its_own_with_plain_arns(packaged):
    _, template, _ = packaged
    roles = resources(template, "AWS::IAM::Role")
    # One that is merged in, or shared, would be called DefaultRole.
    assert roles.keys() == {"ApiHandlerRole", "SweepRole"}
    for role in roles.values():
        (policy,) = role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]:
            listed = statement["Resource"]
            for arn in listed if isinstance(listed, list) else [listed]:
                assert isinstance(arn, str)
                if arn == "*":
                    assert all(action.startswith("xray:") for action in statement["Action"])
                else:
                    assert ":eu-west-1:111111111111:" in arn
                    assert "$" not in arn


def test_memory_and_time_are_chosen_and_everything_is_traced(packaged):
    stage, template, _ = packaged
    functions = resources(template, "AWS::Serverless::Function")
    api, sweep = functions["APIHandler"], functions["Sweep"]
    assert (api["MemorySize"], api["Timeout"]) == (1024, 29)
    assert stage.settings.claim_lease_seconds > api["Timeout"]
    assert (sweep["MemorySize"], sweep["Timeout"]) == (512, 60)
    assert sweep["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}
    assert {one["Tracing"] for one in functions.values()} == {"Active"}
    (gateway,) = resources(template, "AWS::Serverless::Api").values()
    assert gateway["TracingEnabled"] is True
    assert gateway["EndpointConfiguration"] == "REGIONAL"
    assert gateway["StageName"] == stage.name


def test_callbacks_have_more_room_than_the_rest_and_each_method_is_measured(packaged):
    _, template, _ = packaged
    (gateway,) = resources(template, "AWS::Serverless::Api").values()
    settings = {one["ResourcePath"]: one for one in gateway["MethodSettings"]}
    everybodys = settings.pop("/*")
    assert settings.keys() == {
        "/~1assignment_callback",
        "/~1assignment_callback~1fallback",
        "/~1event_callback",
    }
    for path, one in settings.items():
        route = path[1:].replace("~1", "/")
        assert one["HttpMethod"] in app.routes[route]
        assert one["ThrottlingRateLimit"] > everybodys["ThrottlingRateLimit"]
        # What is set for a method inherits nothing.
        assert one["MetricsEnabled"]
    assert everybodys["MetricsEnabled"]


def test_no_secret_is_in_a_functions_environment(packaged):
    _, template, _ = packaged
    for function in resources(template, "AWS::Serverless::Function").values():
        variables = function["Environment"]["Variables"]
        secret = {"TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"}
        assert secret.isdisjoint(variables)
        assert "SETTINGS_DEFAULTS" not in variables
