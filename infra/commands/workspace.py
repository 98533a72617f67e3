"""Commands for the definition of the Workspace."""

import json
from pathlib import Path

import click

from infra.commands import report_errors
from taskrouter_simulator.checks.definition import check_document
from taskrouter_simulator.definition.document import (
    DefinitionError,
    Document,
    Findings,
    Severity,
    parse,
    path_text,
    read_bytes,
)
from taskrouter_simulator.definition.reader import QUICKSTART


@click.group()
def workspace() -> None:
    """Check the definition of the Workspace (see docs/workspace.md)."""


@workspace.command()
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="SIMULATOR_WORKSPACE_FILE",
    show_envvar=True,
    default=QUICKSTART,
    show_default="the quickstart's definition",
    help="YAML or JSON file with the definition.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@report_errors
def check(file: Path, *, as_json: bool) -> None:
    """Check the definition of the Workspace, without a Twilio account.

    Exit code 1: the definition has errors. Warnings do not change the exit code.
    """
    try:
        document = parse(read_bytes(file), str(file))
        findings = check_document(document)
    except DefinitionError as error:
        document, findings = error.document, error.findings
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    if as_json:
        click.echo(json.dumps(_describe(document, findings, errors, warnings)))
    else:
        for finding in findings:
            place = document.place(finding.path)
            line = f"{place}: {finding.severity}: {finding.message} ({finding.source})"
            # Names may contain characters that control a terminal.
            click.echo(line if line.isprintable() else ascii(line)[1:-1])
        click.echo(f"{file}: {_count(errors, 'error')}, {_count(warnings, 'warning')}.")
    if errors:
        raise SystemExit(1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _describe(
    document: Document, findings: Findings, errors: int, warnings: int
) -> dict[str, object]:
    details = []
    for finding in findings:
        line, column = document.position(finding.path) or (None, None)
        details.append(
            {
                "severity": finding.severity,
                "line": line,
                "column": column,
                "path": path_text(finding.path),
                "message": finding.message,
                "source": finding.source,
            }
        )
    return {"file": document.name, "errors": errors, "warnings": warnings, "findings": details}
