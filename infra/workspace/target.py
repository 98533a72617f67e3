"""The Workspace of a stage, and its definition."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chalicelib import config
from infra import OperatorError
from infra.aws import Aws, chalice_record, lock, shared_names, stacks, stage_config
from infra.aws.config_file import FILE
from infra.aws.stage_config import Stage
from infra.commands import connect_to_stage, connection
from infra.commands import secrets as stored_secrets
from infra.commands.settings import load_settings, report_unused, unused_settings
from infra.twilio_account import Account, Workspace
from infra.workspace.http import RetryingHttpClient
from taskrouter_simulator.definition.document import DefinitionError
from taskrouter_simulator.definition.model import Unmanaged, WorkspaceDefinition, managed
from taskrouter_simulator.definition.reader import QUICKSTART, read

WORKFLOW_SID, TIMEOUTS = "TWILIO_WORKFLOW_SID", "RESERVATION_TIMEOUTS_BY_WORKFLOW"
"""Settings that contain SIDs of Workflows."""
_SIMULATOR_FILE = "SIMULATOR_WORKSPACE_FILE"


@dataclass(frozen=True)
class Target:
    """The Workspace of a stage.

    Attributes:
        stage_name: Name of the stage.
        account: The Twilio account.
        workspace_sid: SID of the Workspace; "" if the stage has none.
        workflows: The SIDs of the Workflows in the stage's settings, each with the name of the
            setting that contains the SID.
        base_url: URL of the API without a secret segment; "" if the stage is not deployed.
        api_url: Base URL of the routes that TaskRouter calls; None if there is no API yet.
        default_file: The definition to use without `--file`; None if there is none.
        stage: The stage in AWS; None for the local stage.
        aws: The AWS account and region; None for the local stage.
    """

    stage_name: str
    account: Account
    workspace_sid: str
    workflows: Mapping[str, str]
    base_url: str
    api_url: str | None
    default_file: Path | None
    stage: Stage | None = None
    aws: Aws | None = None

    def context(self) -> Any:
        """Return the SDK's context for the Workspace.

        Raises:
            OperatorError: The Workspace does not exist in this account.
        """
        Workspace(self.account, self.workspace_sid, "").fetch()
        return self.account.workspaces(self.workspace_sid)

    def find_workspace(self, name: str) -> "Target":
        """Return the target with the SID of its Workspace, looked up by name if the stage has none.

        The SID remains "" if no Workspace has the name.

        Raises:
            OperatorError: Several Workspaces have the name, or the Workspace belongs to another
                stage.
        """
        if self.workspace_sid:
            return self._with_own_workspace(self.workspace_sid)
        found = [sid for sid, found_name in self.account.list_workspaces() if found_name == name]
        if len(found) > 1:
            raise OperatorError(
                f"The account has several Workspaces with the name {name!r}: {', '.join(found)}. "
                f"Set TWILIO_WORKSPACE_SID for stage {self.stage_name} in {FILE}."
            )
        return self._with_own_workspace("".join(found))

    def _with_own_workspace(self, sid: str) -> "Target":
        if self.stage and sid:
            shared_names.ensure_own_workspace(stage_config.project(), self.stage_name, sid)
        return replace(self, workspace_sid=sid)

    def locked(self, *, force: bool) -> AbstractContextManager[object]:
        """Hold the lock of a stage in AWS, so that no deployment runs at the same time."""
        if self.aws is None or self.stage is None:
            return nullcontext()
        return lock.acquire(self.aws, self.stage, force=force)

    def mask(self, url: str) -> str:
        """Return a URL without parts that may be secret."""
        return connection.mask(url, self.base_url)

    def read_definition(self, file: Path | None) -> WorkspaceDefinition:
        """Read the definition in a file, or the definition of the stage.

        Raises:
            OperatorError: There is no definition, or it is invalid.
        """
        file = file or self.default_file
        if file is None:
            raise _no_definition(self.stage_name)
        return _read(file)


def find_definition(stage_name: str | None) -> Path:
    """Return the file with the definition of a stage or, without a stage, of the simulator.

    Raises:
        OperatorError: The stage has no definition, or no stage is selected although some stages
            have definitions.
    """
    if stage_name:
        file = _default_file(stage_name)
        if file is None:
            raise _no_definition(stage_name)
        return file
    if file := _simulator_file():
        return file
    stages = stage_config.project()["stages"]
    if with_file := [name for name, stage in stages.items() if stage.get("workspace_file")]:
        raise OperatorError(
            f"No file was checked, because these stages set workspace_file in {FILE}: "
            f"{', '.join(with_file)}. Add --stage with one of them, or --file."
        )
    return QUICKSTART


def _default_file(stage_name: str) -> Path | None:
    """Return the definition that a stage uses if `--file` is not given, or None."""
    variables = stage_config.environment(stage_name, {})
    file = _in_project(stage_config.project()["stages"][stage_name].get("workspace_file"))
    is_local = stage_config.DEFAULTS in variables
    return _simulator_file() or file or QUICKSTART if is_local else file


def _simulator_file() -> Path | None:
    file = os.environ.get(_SIMULATOR_FILE, "")
    return Path(file) if file else None


def _no_definition(stage_name: str) -> OperatorError:
    return OperatorError(
        f"Stage {stage_name} has no definition of its Workspace. Pass a file with --file, or "
        f"set workspace_file for the stage in {FILE}."
    )


def ensure_applicable(stage: Stage) -> None:
    """Check the definition of a stage's Workspace without sending requests to Twilio.

    Raises:
        OperatorError: The definition is invalid or contradicts the settings of the stage, or the
            stage's Workspace belongs to another stage.
    """
    if file := _in_project(stage.workspace_file):
        ensure_consistent_timeouts(stage, _read(file))
        sid = stage.settings.twilio_workspace_sid
        shared_names.ensure_own_workspace(stage_config.project(), stage.name, sid)


def ensure_consistent_timeouts(stage: Stage, definition: WorkspaceDefinition) -> None:
    """Check that no reservation timeout contradicts other settings of the stage.

    Raises:
        OperatorError: A timeout is too short for the settings.
    """
    timeouts = [
        item.task_reservation_timeout
        for item in managed(definition.workflows, ())
        if not isinstance(item.task_reservation_timeout, Unmanaged)
    ]
    if not timeouts:
        return
    settings = replace(
        stage.settings,
        reservation_timeout_seconds=min(timeouts),
        reservation_timeouts_by_workflow={},
    )
    try:
        stage_config.ensure_runnable(replace(stage, settings=settings))
    except OperatorError as error:
        raise OperatorError(
            "Nothing was changed, because the values of task_reservation_timeout in the file "
            f"contradict other settings. {error}"
        ) from error


def _read(file: Path) -> WorkspaceDefinition:
    try:
        return read(file)
    except DefinitionError as error:
        raise OperatorError(f"{error}.") from error


def open_target(stage_name: str) -> Target:
    """Return the Workspace of a stage.

    Raises:
        OperatorError: The stage is not declared, or its credentials are missing.
    """
    if stage_config.DEFAULTS in stage_config.environment(stage_name, {}):
        return _open_local(stage_name)
    stage = stage_config.read(stage_name, sids_in_shell(stage_name), allow_empty_sids=True)
    report_unused(
        unused_settings(stage_name, os.environ), "To change the stage, edit .chalice/config.json."
    )
    if "TWILIO_ACCOUNT_SID" in _missing_sids(stage_name):
        raise OperatorError(
            f"Stage {stage_name} in {FILE} does not set TWILIO_ACCOUNT_SID. Set it, and store "
            f"the API key: python -m infra secrets put --stage {stage_name}"
        )
    aws = connect_to_stage(stage)
    url = chalice_record.public_url(aws, stage, stacks.outputs(aws, stage).get("Deployments"))
    return of_stage(aws, stage, url)


def sids_in_shell(stage_name: str) -> dict[str, str]:
    """Return the SIDs that are set in the shell but not in config.json; a deployment uses them."""
    values = {
        name: os.environ.get(name, "").strip() for name in stage_config.empty_sids(stage_name)
    }
    return {name: value for name, value in values.items() if value}


def _missing_sids(stage_name: str) -> set[str]:
    return {*stage_config.empty_sids(stage_name)} - sids_in_shell(stage_name).keys()


def of_stage(aws: Aws, stage: Stage, url: str | None) -> Target:
    """Return the Workspace of a stage in AWS.

    Args:
        aws: The account and region.
        stage: The stage.
        url: URL of the stage's API; None if no API is deployed.

    Raises:
        OperatorError: The secrets do not exist or can't be read.
    """
    key = stored_secrets.require(aws, stage).api_key
    settings = stage.settings
    missing = _missing_sids(stage.name)
    return Target(
        stage_name=stage.name,
        account=_account(settings, key, stored_secrets.storage_instructions(stage)),
        workspace_sid="" if "TWILIO_WORKSPACE_SID" in missing else settings.twilio_workspace_sid,
        workflows=_workflows(settings, has_own=WORKFLOW_SID not in missing),
        base_url=url or "",
        api_url=url and url + settings.callback_prefixes[0],
        default_file=_in_project(stage.workspace_file),
        stage=stage,
        aws=aws,
    )


def _open_local(stage_name: str) -> Target:
    file = _default_file(stage_name)
    settings = load_settings(stage_name)
    key = (settings.twilio_api_key_sid, settings.twilio_api_key_secret)
    url = settings.public_base_url
    return Target(
        stage_name=stage_name,
        account=_account(settings, key, "Check TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET."),
        workspace_sid=settings.twilio_workspace_sid,
        workflows=_workflows(settings, has_own=True),
        base_url=url,
        api_url=url + settings.callback_prefixes[0],
        default_file=file,
    )


def _workflows(settings: config.Settings, *, has_own: bool) -> dict[str, str]:
    own = {settings.twilio_workflow_sid: WORKFLOW_SID} if has_own else {}
    return dict.fromkeys(settings.reservation_timeouts_by_workflow, TIMEOUTS) | own


def _in_project(file: str | None) -> Path | None:
    return config.PROJECT / file if file else None


def _account(settings: config.Settings, key: tuple[str, str], remedy: str) -> Account:
    return Account(
        settings.twilio_taskrouter_url,
        settings.twilio_account_sid,
        *key,
        remedy=remedy,
        http_client=RetryingHttpClient(),
    )
