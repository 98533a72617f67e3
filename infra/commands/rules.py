"""Rules, looked at from the operator's desk: are they good, and what do they make of a callback?"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from chalicelib import config
from chalicelib.adapters import rules_file
from chalicelib.adapters.dynamodb.client import make_client
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.callbacks import AssignmentCallback, Form
from chalicelib.domain.instructions import WITHOUT_PARAMETERS, without_secrets
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.rules import Rule, RuleEvaluation, Rules, evaluate_all, facts_of
from chalicelib.domain.sids import is_sid
from infra.aws import stage_config
from infra.aws.stage_config import Stage
from infra.commands.common import settings_of, stage_option, told
from infra.errors import OperatorError

_SECONDS = 10.0
"""For the one read; nobody waits for an answer within TaskRouter's five."""


def must_be_good(stage: Stage) -> None:
    """Refuse to deploy rules that could not be used.

    Raises:
        OperatorError: the file would not be deployed.
        chalicelib.adapters.rules_file.RulesError: there is something wrong in it.
    """
    path = stage.settings.rules_file
    if not path.resolve().is_relative_to(config.PROJECT / "chalicelib"):
        raise OperatorError(
            f"Stage {stage.name} of .chalice/config.json: RULES_FILE must name a file in "
            "chalicelib/, because nothing else is deployed."
        )
    rules_file.read(path)


@click.group()
def rules() -> None:
    """Which rule answers which callback: see docs/rules.md."""


@rules.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True))
@stage_option
@told
def check(file: Path | None, stage: str) -> None:
    """Check the rules in FILE, or else those of the stage.

    Exit code 1: something is wrong with them; each line says what, and what to write instead.
    """
    path = file or config.rules_file(stage_config.environment(stage, os.environ))
    read = rules_file.read(path.absolute())
    click.echo(f"{path}: {len(read)} rule(s), nothing wrong.")
    always = next((one for one in read if one.when is None and not one.references), None)
    for number, rule in enumerate(read, start=1):
        asked = f"when {rule.when.text}" if rule.when else "always"
        if always and number > read.index(always) + 1:
            asked = f'never asked: "{always.name}" always answers'
        click.echo(f"{number:3}  {rule.name}: {rule.instruction.name}, {asked}")


@rules.command()
@click.argument("subject", metavar="FILE-OR-SID")
@click.option(
    "--rules",
    "file",
    type=click.Path(path_type=Path, exists=True),
    help="Other rules than the stage's.",
)
@stage_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@told
def explain(subject: str, file: Path | None, stage: str, *, as_json: bool) -> None:
    """Say which rule answers a callback, and why the others do not.

    FILE holds a captured callback, the form that TaskRouter posted or a JSON object of its
    parameters; - reads it from standard input. SID is a recorded Reservation, WR..., of the stage.
    It shows attributes, which may be personal data.

    Exit code 1: there is no such callback, or the rules are bad.
    """
    settings = settings_of(stage)
    path = file.absolute() if file else settings.rules_file
    ruled = Rules(
        rules_file.read(path), default=WITHOUT_PARAMETERS[settings.assignment_instruction]
    )
    form, answered = _recorded(subject, settings) if is_sid(subject, "WR") else _captured(subject)
    callback = AssignmentCallback.from_form(
        form,
        account_sid=form.get("AccountSid", ""),
        workspace_sid=form.get("WorkspaceSid", ""),
    )
    told_of = _explained(ruled, callback) | ({} if answered is None else {"answered": answered})
    click.echo(json.dumps(told_of) if as_json else "\n".join(_lines(told_of)))


def _captured(source: str) -> tuple[Form, None]:
    try:
        with click.open_file(source, "rb") as opened:
            body = opened.read().strip()
    except OSError as error:
        raise OperatorError(f"{source} is no Reservation's SID, and no file either.") from error
    if not body.startswith(b"{"):
        return Form.parse(body), None
    try:
        return _form(parse_json_object(body.decode())), None
    except (JsonError, UnicodeDecodeError) as error:
        raise OperatorError(f"{source} must hold a form or a JSON object: {error}.") from error


def _form(parameters: dict[str, Any]) -> Form:
    return Form(
        [
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, given in parameters.items()
            for value in (given if isinstance(given, list) else [given])
        ]
    )


def _recorded(reservation_sid: str, settings: config.Settings) -> tuple[Form, Any]:
    """Return the callback as it was received, and what it was answered."""
    store = DynamoReservationStore(
        make_client(_SECONDS),
        reservations_table=settings.reservations_table,
        state_table=settings.state_table,
        retention_days=settings.retention_days,
    )
    record = store.get(reservation_sid)
    if record is None:
        raise OperatorError(f"There is no record of {reservation_sid}.")
    if record.callback is None:
        raise OperatorError(f"No callback about {reservation_sid} has come, so none was answered.")
    return _form(record.callback), without_secrets(record.answer or {})


def _explained(ruled: Rules, callback: AssignmentCallback) -> dict[str, Any]:
    facts = facts_of(callback)
    ruling = ruled.decide(callback)
    return {
        "rules": [
            _rule(verdict, facts, answers=verdict.rule.name == ruling.rule)
            for verdict in evaluate_all(ruled, facts)
        ],
        "answer": without_secrets(ruling.instruction.answer),
        "rule": ruling.rule,
    }


def _rule(verdict: RuleEvaluation, facts: dict[str, Any], *, answers: bool) -> dict[str, Any]:
    rule = verdict.rule
    return {
        "name": rule.name,
        "when": rule.when.text if rule.when else None,
        "matched": verdict.matched,
        "answers": answers,
        "looked_at": _looked_at(rule, facts),
        "failures": [{"parameter": one.parameter, "why": one.message} for one in verdict.errors],
    }


def _looked_at(rule: Rule, facts: dict[str, Any]) -> dict[str, Any]:
    expressions = [rule.when, *rule.references.values()]
    return {
        path: value for one in expressions if one for path, value in one.facts_read(facts).items()
    }


def _lines(told_of: dict[str, Any]) -> Iterator[str]:
    asked = True
    for number, rule in enumerate(told_of["rules"], start=1):
        yield f"{number:3}  {rule['name']}: {_verdict(rule, asked=asked)}"
        if rule["when"]:
            yield f"     when {rule['when']}"
        for path, value in rule["looked_at"].items():
            yield f"     {path} is {_shown(value)}"
        for failure in rule["failures"]:
            yield f"     {failure['why']}"
        asked = asked and not rule["answers"]
    by = f'rule "{told_of["rule"]}"' if told_of["rule"] else "no rule: ASSIGNMENT_INSTRUCTION"
    yield f"answer: {json.dumps(told_of['answer'])}, by {by}"
    if "answered" in told_of:
        yield f"it was answered: {json.dumps(told_of['answered'])}"


def _shown(value: Any) -> str:
    """Return a value of a callback as JSON; what could steer a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def _verdict(rule: dict[str, Any], *, asked: bool) -> str:
    if rule["answers"]:
        return "answers"
    if rule["failures"]:
        what = "matches, but can not answer" if rule["matched"] else "can not be evaluated"
    else:
        what = "matches" if rule["matched"] else "does not match"
    return what if asked else f"{what} (not asked any more)"
