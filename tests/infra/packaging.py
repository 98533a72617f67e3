"""Packages a stage with `chalice package` and translates its SAM template."""

import contextlib
import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from chalice.cli import cli

from infra.aws import api_settings, stage_config
from local.supervisor import ROOT
from tests.infra import templates

REGION = "eu-west-1"
SIDS = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
}
CONCURRENCY = 1_000
CODE_URI = "s3://pipeline-packages/package.zip"


class PackagedStage:
    """The SAM template that Chalice writes for a stage, and the template's translation."""

    def __init__(self, stage, folder):
        self.stage = stage
        self.sam = json.loads((folder / "out" / "sam.json").read_text())
        for resource in self.sam["Resources"].values():
            if "CodeUri" in resource["Properties"]:
                resource["Properties"]["CodeUri"] = CODE_URI  # as `aws cloudformation package` does
        self._folder = folder

    @functools.cached_property
    def translated(self):
        """The CloudFormation template that the SAM translator returns."""
        # A module-level import would cost every test process half a second.
        from samtranslator.translator.transform import transform  # noqa: PLC0415

        no_managed_policies = SimpleNamespace(load=dict)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_DEFAULT_REGION", REGION)
            return transform(copy.deepcopy(self.sam), {}, no_managed_policies)

    def of_type(self, resource_type):
        """Return the properties of all resources of a CloudFormation or SAM type, by name."""
        template = self.sam if resource_type.startswith("AWS::Serverless::") else self.translated
        properties = templates.of_type(template, resource_type)
        assert properties
        return properties

    def lint(self, *templates):
        """Return the problems that cfn-lint finds in templates."""
        files = [self._folder / f"linted-{number}.json" for number in range(len(templates))]
        for file, template in zip(files, templates, strict=True):
            file.write_text(json.dumps(template))
        command = [Path(sys.executable).with_name("cfn-lint"), "--regions", REGION, "--", *files]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def package(folder, name, change=lambda stage: None):
    """Package a stage from config.json after applying *change* to its declaration."""
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "chalicelib", folder / "chalicelib")
    # The tests read only the template, so the package needs no dependencies.
    (folder / "requirements.txt").touch()
    shutil.copytree(ROOT / ".chalice" / "policies", folder / ".chalice" / "policies")
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    config["stages"][name]["environment_variables"] |= SIDS
    change(config["stages"][name])
    (folder / ".chalice" / "config.json").write_text(json.dumps(config))

    stage = _read(name, config)
    merged = api_settings.merged_template(stage, CONCURRENCY)
    (folder / "merged.json").write_text(json.dumps(merged))
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, AWS_DEFAULT_REGION=REGION),
        mock.patch.object(sys, "path", sys.path[:]),  # Chalice adds the folder
    ):
        # Run the command in this process, which has already imported Chalice and the app.
        arguments = ["package", "--stage", stage.name, "--merge-template", "merged.json", "out"]
        cli.main(arguments, obj={}, standalone_mode=False)
    return PackagedStage(stage, folder)


def _read(name, project_config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_config, "project", lambda: project_config)
        environ = project_config["stages"][name]["environment_variables"]
        patch.setattr(stage_config, "environment", lambda *_: environ)
        return stage_config.read(name)
