"""Command that checks a live stage and its Twilio account."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3
import click

from infra import OperatorError
from infra.aws import Aws, stage_config
from infra.commands import connect_to_stage, describe_error, report_errors
from infra.commands.dialog import Dialog, is_terminal
from infra.commands.settings import load_settings
from infra.doctor import probe, report
from infra.doctor.checks import CHECKS
from infra.doctor.probe_api import NAME
from infra.doctor.report import Outcome, Result
from infra.doctor.subject import Subject

_WIDTH = 18
"""Width of the column with the names of the checks."""

_COLORS = {Outcome.OK: "green", Outcome.WRONG: "red", Outcome.NOT_CHECKED: "yellow"}


@click.command()
@click.option(
    "--stage",
    "stage_name",
    required=True,
    help="A stage in .chalice/config.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--probe",
    "with_probe",
    is_flag=True,
    help="Also run a Task through a temporary Workflow and TaskQueue, and time each step.",
)
@click.option(
    "--settings-file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="File to which the probe writes settings that make the simulator behave like the "
    "account. By default, the probe prints them.",
)
@click.option("--yes", is_flag=True, help="Confirm the probe in advance.")
@report_errors
def doctor(
    stage_name: str, *, as_json: bool, with_probe: bool, settings_file: Path | None, yes: bool
) -> None:
    """Check a live stage and its Twilio account.

    Prints a line for each check: OK, or the problem and its remedy (see docs/doctor.md). Without
    --probe, nothing is changed.

    Exit code 1: a check found something wrong, or the probe failed.
    """
    if settings_file and not with_probe:
        raise click.UsageError("--settings-file requires --probe.")
    subject = open_subject(stage_name)
    checks = [check for check in CHECKS if not (check.in_aws and subject.is_local)]
    results = []
    for result in report.run(checks, subject):
        results.append(result)
        if not as_json:
            _print(result)
    left_out = [check.name for check in CHECKS if check not in checks]
    if left_out and not as_json:
        click.echo(
            f"These checks were skipped, because the stage is not in AWS: {', '.join(left_out)}"
        )
    findings = _probe(subject, results, assumes_yes=yes) if with_probe else probe.Findings()
    if settings_file and not _write_settings(settings_file, findings):
        settings_file = None
    if as_json:
        click.echo(
            json.dumps(_document(stage_name, results, left_out, findings, with_probe=with_probe))
        )
    elif with_probe:
        _print_findings(findings, settings_file)
    if findings.errors:
        raise OperatorError(" ".join(findings.errors))
    raise SystemExit(0 if _is_ok(results) else 1)


def _is_ok(results: Iterable[Result]) -> bool:
    return all(result.outcome is not Outcome.WRONG for result in results)


def _document(
    stage_name: str,
    results: Iterable[Result],
    left_out: list[str],
    findings: probe.Findings,
    *,
    with_probe: bool,
) -> dict[str, Any]:
    """Return the output of --json; `probe` is present only with --probe."""
    return {
        "stage": stage_name,
        "ok": _is_ok(results) and not findings.errors,
        "checks": [
            {"name": result.name, "result": result.outcome, "text": result.text}
            for result in results
        ],
        "left_out": left_out,
        **({"probe": asdict(findings)} if with_probe else {}),
    }


def _probe(subject: Subject, results: Iterable[Result], *, assumes_yes: bool) -> probe.Findings:
    """Run the probe after confirmation.

    If a check that the probe needs is not OK, or if nobody confirms the probe, the findings contain
    only an error.
    """
    not_ok = [result.name for result in results if result.outcome is not Outcome.OK]
    if unmet := [name for name in probe.NEEDS if name in not_ok]:
        problem = f"The probe did not start, because these checks are not OK: {', '.join(unmet)}."
        return probe.Findings(errors=[problem])
    question = (
        f"Create a Worker, a TaskQueue, a Workflow and a TaskChannel named {NAME!r}, and a Task, "
        f"in the Workspace {subject.remote_workspace.friendly_name}, and delete them afterward?"
    )
    dialog = Dialog(is_interactive=is_terminal(), assumes_yes=assumes_yes)
    if not dialog.confirm(question):
        problem = "The probe was not confirmed. To confirm it in advance, add the option --yes"
        return probe.Findings(errors=[problem])
    return probe.run(subject)


def _write_settings(file: Path, findings: probe.Findings) -> bool:
    """Write any settings to a file; if that fails, record the error and return False."""
    try:
        if findings.settings:
            file.write_text(findings.environment(), encoding="utf-8")
    except OSError as error:
        findings.errors.append(describe_error(error))
        return False
    return True


def _print_findings(findings: probe.Findings, settings_file: Path | None) -> None:
    for step, milliseconds in findings.milliseconds.items():
        click.echo(f"{'PROBE':12}{step:{_WIDTH}} {milliseconds} ms")
    if settings_file and findings.settings:
        click.echo(f"{len(findings.settings)} settings for the simulator: {settings_file}")
    elif findings.settings:
        click.echo(f"Settings for the simulator:\n{findings.environment()}", nl=False)


def open_subject(stage_name: str) -> Subject:
    """Return a stage for the checks.

    Raises:
        OperatorError: The stage is not declared, lacks a Twilio SID, or is in another account or
            region, or there are no AWS credentials.
    """
    settings = load_settings(stage_name)
    if settings.secrets_parameter:
        stage = stage_config.read(stage_name)
        return Subject(stage, connect_to_stage(stage))
    session = boto3.Session()
    aws = Aws(session, partition="aws", region=session.region_name, account="", identity="")
    return Subject(stage_config.describe(stage_name, settings), aws, is_local=True)


def _print(result: Result) -> None:
    outcome = click.style(f"{result.outcome.upper():12}", fg=_COLORS[result.outcome])
    click.echo(f"{outcome}{result.name:{_WIDTH}} {result.text}")
