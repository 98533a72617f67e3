"""Commands that check the assignment rules and explain their decisions."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from chalicelib import config
from chalicelib.adapters import rules_file
from chalicelib.domain.callbacks import AssignmentCallback, Form
from chalicelib.domain.instructions import WITHOUT_PARAMETERS, Defer, without_secrets
from chalicelib.domain.json_text import JsonError, read_facts
from chalicelib.domain.rules import Rule, RuleEvaluation, Rules, evaluate_all, facts_of
from chalicelib.domain.sids import is_sid
from infra import OperatorError
from infra.aws.stage_config import Stage
from infra.commands import (
    connect_unless_local,
    open_store,
    report_errors,
    stage_option,
)
from infra.commands.settings import load_settings, stage_environment


def ensure_deployable_rules(stage: Stage) -> None:
    """Refuse to deploy rules that the functions could not load.

    Raises:
        OperatorError: The rules file would not be deployed.
        chalicelib.adapters.rules_file.RulesError: The rules file is invalid.
    """
    path = stage.settings.rules_file
    if not path.resolve().is_relative_to(config.PROJECT / "chalicelib"):
        raise OperatorError(
            f"Stage {stage.name} in .chalice/config.json: RULES_FILE must name a file in "
            "chalicelib/, because rules files elsewhere are not deployed."
        )
    rules_file.read(path)


@click.group()
def rules() -> None:
    """Check or explain the assignment rules (see docs/rules.md)."""


@rules.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
@stage_option
@report_errors
def check(file: Path | None, stage_name: str) -> None:
    """Check the rules in FILE, or the stage's rules if FILE is omitted.

    Exit code 1: the rules are invalid. Each line of the message describes one mistake.
    """
    source = click.get_current_context().get_parameter_source("stage_name")
    if file and source is not ParameterSource.DEFAULT:
        raise click.UsageError("FILE and --stage can't be used together. Omit one of them.")
    path = file or config.rules_file(stage_environment(stage_name))
    checked = rules_file.load(path.absolute(), default=Defer())
    click.echo(f"{path}: {len(checked.rules)} rule(s), no mistakes.")
    unconditional = None
    for number, rule in enumerate(checked.rules, start=1):
        if unconditional:
            condition = f'never reached: "{unconditional.name}" always answers'
        else:
            condition = f"when {rule.when.text}" if rule.when else "always"
        click.echo(f"{number:3}  {rule.name}: {rule.instruction.name}, {condition}")
        if unconditional is None and rule.when is None and not rule.references:
            unconditional = rule
    if checked.unreadable != Defer():
        click.echo(f"     unreadable callbacks: {checked.unreadable.name}")


@rules.command()
@click.argument("source", metavar="FILE-OR-SID")
@click.option(
    "--rules",
    "file",
    type=click.Path(path_type=Path, exists=True),
    help="Rules file to use instead of the stage's.",
)
@stage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@report_errors
def explain(source: str, file: Path | None, stage_name: str, *, as_json: bool) -> None:
    """Explain which rule answers a callback, and why the other rules do not.

    FILE contains a captured callback: the form that TaskRouter posted, or a JSON object with the
    parameters. Use - for standard input. SID is the SID (WR...) of a Reservation recorded in the
    stage. The output contains attributes, which may include personal data.

    Exit code 1: the callback does not exist or can't be read, or the rules are invalid.
    """
    settings = load_settings(stage_name)
    path = file.absolute() if file else settings.rules_file
    active_rules = rules_file.load(
        path, default=WITHOUT_PARAMETERS[settings.assignment_instruction]
    )
    if is_sid(source, "WR"):
        connect_unless_local(stage_name, settings)
        form, answer = _recorded_callback(source, settings)
    else:
        form, answer = _captured_callback(source), None
    callback = AssignmentCallback.from_form(
        form,
        account_sid=form.get("AccountSid", ""),
        workspace_sid=form.get("WorkspaceSid", ""),
    )
    explanation = _explain(active_rules, callback)
    if answer is not None:
        explanation["answered"] = answer
    click.echo(json.dumps(explanation) if as_json else "\n".join(_format(explanation)))


def _captured_callback(source: str) -> Form:
    try:
        with click.open_file(source, "rb") as file:
            body = file.read().removeprefix(codecs.BOM_UTF8).strip()
    except OSError as error:
        raise OperatorError(
            f"{source} is neither a Reservation SID nor a readable file."
        ) from error
    name = "Standard input" if source == "-" else source
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise OperatorError(f"{name} is UTF-16 text. Convert it to UTF-8.")
    if not body.startswith(b"{"):
        form = Form.parse(body)
        if body.startswith((b"[", b'"')) or b"=" not in body:
            raise OperatorError(f"{name} contains neither a form nor a JSON object.")
        return form
    try:
        return _form_of(read_facts(body.decode())[0])
    except (JsonError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"{name} contains neither a form nor a valid JSON object: {error}."
        ) from error
    except RecursionError as error:
        raise OperatorError(
            f"{name} contains attributes that are nested too deeply. Write the attributes as a "
            "string, as TaskRouter does."
        ) from error


def _recorded_callback(reservation_sid: str, settings: config.Settings) -> tuple[Form, Any]:
    """Return the recorded callback of a Reservation, and its answer without secrets."""
    record = open_store(settings).get(reservation_sid)
    if record is None:
        raise OperatorError(f"There is no record of {reservation_sid}.")
    if record.callback is None:
        raise OperatorError(f"No callback was received for {reservation_sid}.")
    return _form_of(record.callback), without_secrets(record.answer or {})


def _form_of(parameters: dict[str, Any]) -> Form:
    return Form(
        [
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, values in parameters.items()
            for value in (values if isinstance(values, list) else [values])
        ]
    )


def _explain(active_rules: Rules, callback: AssignmentCallback) -> dict[str, Any]:
    facts = facts_of(callback)
    result = active_rules.decide(callback)
    evaluations = list(evaluate_all(active_rules, facts))
    unreadable = None
    if result.unreadable:
        stopped_at = next(
            evaluation.rule.name for evaluation in evaluations if evaluation.unreadable
        )
        unreadable = {"parameter": result.unreadable, "rule": stopped_at}
    return {
        "rules": [
            _explain_rule(evaluation, facts, answers=evaluation.rule.name == result.rule)
            for evaluation in evaluations
        ],
        "answer": without_secrets(result.instruction.answer),
        "rule": result.rule,
        "unreadable": unreadable,
    }


def _explain_rule(
    evaluation: RuleEvaluation, facts: dict[str, Any], *, answers: bool
) -> dict[str, Any]:
    rule = evaluation.rule
    return {
        "name": rule.name,
        "when": rule.when.text if rule.when else None,
        "matched": evaluation.matched,
        "answers": answers,
        "looked_at": _values_read(rule, facts),
        "failures": [
            {"parameter": error.parameter, "why": error.message} for error in evaluation.errors
        ],
    }


def _values_read(rule: Rule, facts: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for expression in (rule.when, *rule.references.values()):
        if expression:
            values |= expression.facts_read(facts)
    return {path: _without_deep_nesting(value) for path, value in values.items()}


def _without_deep_nesting(value: Any) -> Any:
    try:
        json.dumps(value)
    except RecursionError:
        return "(nested too deeply to be shown)"
    return value


def _format(explanation: dict[str, Any]) -> Iterator[str]:
    reached = True
    unreadable = explanation["unreadable"] or {"rule": None}
    for number, rule in enumerate(explanation["rules"], start=1):
        yield f"{number:3}  {rule['name']}: {_verdict(rule, reached=reached)}"
        if rule["when"]:
            yield f"     when {rule['when']}"
        for path, value in rule["looked_at"].items():
            yield f"     {path} is {_printable(value)}"
        for failure in rule["failures"]:
            yield f"     {failure['why']}"
        reached = reached and not rule["answers"] and rule["name"] != unreadable["rule"]
    if explanation["rule"]:
        source = f'rule "{explanation["rule"]}"'
    elif explanation["unreadable"]:
        source = f'the key "unreadable" ({unreadable["parameter"]} can\'t be read)'
    else:
        source = "ASSIGNMENT_INSTRUCTION (no rule applies)"
    yield f"answer: {json.dumps(explanation['answer'])}, by {source}"
    if "answered" in explanation:
        yield f"recorded answer: {json.dumps(explanation['answered'])}"


def _printable(value: Any) -> str:
    """Return a value as JSON without characters that could control a terminal."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _verdict(rule: dict[str, Any], *, reached: bool) -> str:
    if rule["answers"]:
        return "answers"
    if rule["failures"]:
        verdict = (
            "matches, but its instruction is invalid" if rule["matched"] else "cannot be evaluated"
        )
    else:
        verdict = "matches" if rule["matched"] else "does not match"
    return verdict if reached else f"{verdict} (not reached)"
