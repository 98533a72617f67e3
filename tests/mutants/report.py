"""The score of each package, and the mutants that no test detected."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tests.mutants.runner import Outcome, Result

_UNDETECTED = (Outcome.SURVIVED, Outcome.NOT_COVERED)
_ROW = "{:<12} {:>8} {:>9} {:>9} {:>12} {:>11} {:>7}"


def format_report(results: Mapping[str, Sequence[Result]], equivalent: Mapping[str, int]) -> str:
    """Return the table and the list of undetected mutants.

    Args:
        results: the results of each package.
        equivalent: number of equivalent mutants that were skipped in each package.
    """
    return "\n".join([*_table(results, equivalent), *_undetected(results)])


def _table(results: Mapping[str, Sequence[Result]], equivalent: Mapping[str, int]) -> Iterator[str]:
    yield _ROW.format("package", "mutants", *Outcome, "equivalent", "score")
    for package, package_results in results.items():
        yield _row(package, package_results, equivalent[package])
    all_results = [result for package_results in results.values() for result in package_results]
    yield _row("all", all_results, sum(equivalent.values()))


def _row(name: str, results: Sequence[Result], equivalent: int) -> str:
    count = Counter(result.outcome for result in results)
    score = f"{count[Outcome.DETECTED] / len(results):.1%}" if results else "-"
    outcomes = [count[outcome] for outcome in Outcome]
    return _ROW.format(name, len(results), *outcomes, equivalent, score)


def _line(result: Result) -> str:
    return f"{result.mutation} ({result.detail})" if result.detail else str(result.mutation)


def _undetected(results: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    for outcome in _UNDETECTED:
        lines = sorted(
            (result.mutation.file, result.mutation.line, _line(result))
            for package_results in results.values()
            for result in package_results
            if result.outcome is outcome
        )
        if lines:
            yield f"\n{outcome.capitalize()}:"
            yield from (line for *_, line in lines)
