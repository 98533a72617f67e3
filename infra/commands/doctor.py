"""Command that checks a live stage and its Twilio account."""

import json

import boto3
import click

from infra.aws import Aws, stage_config
from infra.commands import connect_to_stage, report_errors
from infra.commands.settings import load_settings
from infra.doctor import report
from infra.doctor.checks import CHECKS
from infra.doctor.report import Outcome
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
@report_errors
def doctor(stage_name: str, *, as_json: bool) -> None:
    """Check a live stage and its Twilio account, without changing anything.

    Prints a line for each check: OK, or what is wrong and what to do (see docs/doctor.md).

    Exit code 1: a check found something wrong.
    """
    subject = open_subject(stage_name)
    results = []
    for result in report.run(applicable := select_checks(subject), subject):
        results.append(result)
        if not as_json:
            _print(result)
    left_out = [check.name for check in CHECKS if check not in applicable]
    is_ok = all(result.outcome is not Outcome.WRONG for result in results)
    if as_json:
        checks = [
            {"name": result.name, "result": result.outcome, "text": result.text}
            for result in results
        ]
        document = {"stage": stage_name, "ok": is_ok, "checks": checks, "left_out": left_out}
        click.echo(json.dumps(document))
    elif left_out:
        click.echo(f"Left out, because the stage is not in AWS: {', '.join(left_out)}")
    raise SystemExit(0 if is_ok else 1)


def select_checks(subject: Subject) -> list[report.Check]:
    """Return the checks that apply to a stage."""
    return [check for check in CHECKS if not (check.in_aws and subject.is_local)]


def open_subject(stage_name: str) -> Subject:
    """Return a stage for the checks.

    Raises:
        OperatorError: The stage is not declared, lacks a Twilio SID or is in another account, or
            AWS refuses the caller.
    """
    if stage_config.DEFAULTS not in stage_config.environment(stage_name, {}):
        stage = stage_config.read(stage_name)
        return Subject(stage, connect_to_stage(stage))
    settings = load_settings(stage_name)
    session = boto3.Session()
    aws = Aws(session, partition="aws", region=session.region_name, account="", identity="")
    return Subject(stage_config.describe(stage_name, settings), aws, is_local=True)


def _print(result: report.Result) -> None:
    outcome = click.style(f"{result.outcome.upper():12}", fg=_COLORS[result.outcome])
    click.echo(f"{outcome}{result.name:{_WIDTH}} {result.text}")
