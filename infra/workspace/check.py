"""Prints the errors and warnings about the definition of a Workspace."""

import json
from pathlib import Path

import click

from infra.workspace.text import printable
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


def print_findings(file: Path, *, as_json: bool) -> int:
    """Print the findings about a file, and return the number of errors.

    Args:
        file: The definition.
        as_json: Whether to print JSON instead of lines.
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
        return errors
    for finding in findings:
        location = document.location(finding.path)
        line = f"{location}: {finding.severity}: {finding.message} ({finding.source})"
        click.echo(printable(line))
    click.echo(f"{file}: {_count(errors, 'error')}, {_count(warnings, 'warning')}.")
    return errors


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
