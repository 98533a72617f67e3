"""`chalice deploy` and `chalice package` in a fresh clone, with and without `infra prepare`."""

import subprocess
import sys
from zipfile import ZipFile

import pytest

from local.supervisor import ROOT
from tests.deploy.conftest import ACCOUNT, REGION, STAGE, Checkout, settings_of
from tests.deploy.test_deploy import api_url, deploy, put_secrets
from tests.infra.account import sids_of, variables_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PREPARE = f"Run: python -m infra prepare --stage {STAGE}\n"


@pytest.fixture
def make_clone(aws, twilio, tmp_path):
    """A function that clones the repository and sets the SIDs."""

    def clone(name):
        folder = tmp_path / name
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        checkout = Checkout(folder, aws)
        checkout.set(**settings_of(twilio))
        return checkout

    return clone


def api_id(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return api["id"]


def chalice_deploy(checkout):
    completed = checkout.chalice("deploy", "--stage", STAGE)
    assert completed.returncode == 0, completed.stderr


def deployment_error(checkout, **variables):
    """Run a deployment that must fail; return its error message."""
    failed = checkout.chalice("deploy", "--stage", STAGE, **variables)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    return failed.stderr


def test_one_command_prepares_a_new_stage_for_a_plain_chalice_deploy(
    aws, new_checkout, twilio, http
):
    new_checkout.set(TWILIO_TASKROUTER_URL=twilio.url)
    remedy = f"python -m infra prepare --stage {STAGE}\n"
    assert deployment_error(new_checkout).endswith(remedy)
    new_checkout.set(**settings_of(twilio))
    assert deployment_error(new_checkout).endswith(remedy)
    new_checkout.set(**dict.fromkeys(sids_of(twilio), ""))

    prepared = new_checkout.run("prepare", "--stage", STAGE, **variables_of(twilio))

    assert prepared.returncode == 0, prepared.stderr
    chalice_deploy(new_checkout)
    assert http.get(f"{api_url(aws)}/health").status_code == 200
    (package,) = (new_checkout.folder / ".chalice" / "deployments").glob("*.zip")
    assert f"__pycache__/app.{sys.implementation.cache_tag}.pyc" in ZipFile(package).namelist()


def test_plain_chalice_deploy_succeeds_only_for_a_prepared_stage(aws, make_clone, secrets, http):
    first = make_clone("first")
    put_secrets(first, secrets)
    assert deployment_error(first) == (
        f"Error: Stage {STAGE} is not prepared in account 000000000000, {REGION}. {PREPARE}"
    )
    assert aws.list_resources().keys() == {"parameters"}

    first.infra("prepare", "--stage", STAGE)
    chalice_deploy(first)
    assert http.get(f"{api_url(aws)}/health").status_code == 200
    deployed_id = api_id(aws)

    # Another clone has no record of the API.
    second = make_clone("second")
    message = f"does not record the API {deployed_id} of stage {STAGE}"
    assert message in (error := deployment_error(second))
    assert error.endswith(PREPARE)
    second.infra("prepare", "--stage", STAGE)
    second.change_version("9.9.9")
    chalice_deploy(second)
    assert api_id(aws) == deployed_id
    assert http.get(f"{api_url(aws)}/health").json()["version"] == "9.9.9"

    # A stage that is deployed in one region can't be deployed in another region.
    message = f"belongs to stage {STAGE} in a region other than us-east-1"
    assert message in deployment_error(second, AWS_DEFAULT_REGION="us-east-1")
    failed = second.run("prepare", "--stage", STAGE, AWS_DEFAULT_REGION="us-east-1")
    assert f"Stage {STAGE} is deployed in account {ACCOUNT}, {REGION}" in failed.stderr

    # `infra deploy` keeps the API, and applies the settings that Chalice cannot configure.
    deploy(first, "--no-check")
    assert api_id(aws) == deployed_id
    assert http.get(f"{api_url(aws)}/no-such-route").status_code == 404


def test_fresh_clone_is_packaged_without_credentials(make_clone):
    clone = make_clone("clone")
    no_credentials = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_CONFIG_FILE": "/dev/null",
    }

    completed = clone.chalice("package", "out", **no_credentials)

    assert completed.returncode == 0, completed.stderr
    assert (clone.folder / "out" / "deployment.zip").exists()
    # The committed policies are up to date.
    status = ["git", "status", "--porcelain", ".chalice/policies"]
    assert subprocess.run(status, cwd=clone.folder, capture_output=True, check=True).stdout == b""
