"""Checks and their results. Some checks depend on the results of earlier checks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from infra.commands import REPORTED_ERRORS, describe_error
from infra.doctor.subject import Subject


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """A check of one property of a stage.

    Attributes:
        name: Name of the check, as in docs/doctor.md.
        examine: Returns a description of the correct state. Raises one of REPORTED_ERRORS, whose
            message names the problem and the remedy, if the state is wrong or can't be read.
        needs: Names of earlier checks that must succeed before this check can run.
        in_aws: Whether the check needs AWS. Such a check does not apply to the local stage.
    """

    name: str
    examine: Callable[[Subject], str]
    needs: tuple[str, ...] = ()
    in_aws: bool = False


@dataclass(frozen=True)
class Result:
    """The result of a check.

    Attributes:
        name: Name of the check.
        outcome: The outcome.
        text: One line: the correct state, the problem and its remedy, or a reference to the cause.
        cause: If the outcome is NOT_CHECKED, the name of the failed check; otherwise None.
    """

    name: str
    outcome: Outcome
    text: str
    cause: str | None = None


def run(checks: Iterable[Check], subject: Subject) -> Iterator[Result]:
    """Run the checks in order, and yield a result for each.

    A check's outcome is NOT_CHECKED if a check that it needs is not OK, or if the check itself
    fails with the same message as an earlier check. `Result.cause` then names an earlier check
    whose outcome is WRONG.
    """
    results: dict[str, Result] = {}
    for check in checks:
        failed = [results[name] for name in check.needs if results[name].outcome is not Outcome.OK]
        if failed:
            result = _not_checked(check, failed[0].cause or failed[0].name)
        else:
            result = _examine(check, subject)
            same = [earlier.name for earlier in results.values() if earlier.text == result.text]
            if result.outcome is Outcome.WRONG and same:
                result = _not_checked(check, same[0])
        results[check.name] = result
        yield result


def _not_checked(check: Check, cause: str) -> Result:
    return Result(check.name, Outcome.NOT_CHECKED, f"because of {cause}", cause)


def _examine(check: Check, subject: Subject) -> Result:
    try:
        return Result(check.name, Outcome.OK, check.examine(subject))
    except REPORTED_ERRORS as error:
        text = " ".join(describe_error(error, subject.stage.name).split())
        return Result(check.name, Outcome.WRONG, text)
