"""Packages a stage with `chalice package` and translates it to plain CloudFormation."""

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.aws import api_settings, stage_config
from local.supervisor import ROOT
from tests.infra import templates

REGION = "eu-west-1"
SIDS = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
}
BUCKET = "s3://packages-of-the-pipeline/package.zip"


class Packaged:
    """A stage's template, as Chalice writes it and as CloudFormation translates it."""

    def __init__(self, stage, folder):
        self.stage = stage
        self.sam = json.loads((folder / "out" / "sam.json").read_text())
        for resource in self.sam["Resources"].values():
            if "CodeUri" in resource["Properties"]:
                resource["Properties"]["CodeUri"] = BUCKET  # as `aws cloudformation package` does
        self._folder = folder

    @functools.cached_property
    def translated(self):
        """The plain CloudFormation template that the SAM translator returns."""
        # Every process that collects the tests would otherwise spend half a second on this import.
        from samtranslator.translator.transform import transform  # noqa: PLC0415

        no_managed_policies = SimpleNamespace(load=dict)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_DEFAULT_REGION", REGION)
            return transform(copy.deepcopy(self.sam), {}, no_managed_policies)

    def of_type(self, resource_type):
        """Properties of the resources of a CloudFormation or SAM type, by name."""
        template = self.sam if resource_type.startswith("AWS::Serverless::") else self.translated
        found = templates.of_type(template, resource_type)
        assert found
        return found

    def lint(self, *templates):
        """Return the problems that cfn-lint finds in templates."""
        files = [self._folder / f"linted-{number}.json" for number in range(len(templates))]
        for file, template in zip(files, templates, strict=True):
            file.write_text(json.dumps(template))
        command = [Path(sys.executable).with_name("cfn-lint"), "--regions", REGION, "--", *files]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def package(folder, name, change=lambda stage: None):
    """Package a stage of config.json after applying *change* to its declaration."""
    shutil.copy(ROOT / "app.py", folder)
    for copied in ("chalicelib", "infra"):
        shutil.copytree(ROOT / copied, folder / copied)
    (folder / "requirements.txt").touch()  # nothing to install: the tests read only the template
    (folder / ".chalice").mkdir()
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    config["stages"][name]["environment_variables"] |= SIDS
    change(config["stages"][name])
    (folder / ".chalice" / "config.json").write_text(json.dumps(config))

    stage = _read(name, config)
    (folder / "merged.json").write_text(json.dumps(api_settings.merged_template(stage)))
    chalice = [sys.executable, "-c", "from chalice.cli import main; main()", "package"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        subprocess.run(
            [*chalice, "--stage", stage.name, "--merge-template", "merged.json", "out"],
            cwd=folder,
            env=os.environ,
            check=True,
            capture_output=True,
        )
    return Packaged(stage, folder)


def _read(name, declared):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_config, "project", lambda: declared)
        environ = declared["stages"][name]["environment_variables"]
        patch.setattr(stage_config, "environment", lambda *_: environ)
        return stage_config.read(name)
