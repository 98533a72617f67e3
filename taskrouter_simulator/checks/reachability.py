"""Finds filters and targets of a Workflow that Tasks cannot reach.

Filters are evaluated in order. A Task goes through the targets of the first filter that matches.
After the last target, the Task goes to the next filter that matches. The default filter is used
only for Tasks that match no filter, or for which every target is skipped:
https://www.twilio.com/docs/taskrouter/workflow-configuration.
"""

from collections.abc import Iterator, Sequence

from taskrouter_simulator.definition.document import Finding, Path, Severity
from taskrouter_simulator.definition.expressions import ALWAYS, constant, normalize
from taskrouter_simulator.definition.fields import LIMITS
from taskrouter_simulator.definition.model import Filter, Routing, Target

WORKFLOWS = "https://www.twilio.com/docs/taskrouter/workflow-configuration"
TASK_LIFETIME = 86_400
"""Default Timeout of a Task, in seconds."""


def check_routing(routing: Routing, path: Path) -> Iterator[Finding]:
    """Yield findings about unreachable filters and targets, and about the default filter.

    Args:
        routing: The configuration.
        path: Path of the configuration in the document.
    """
    obstacles = [
        _find_obstacle(item, routing.filters[:index]) for index, item in enumerate(routing.filters)
    ]
    for index, item in enumerate(routing.filters):
        filter_path = (*path, "filters", index)
        if obstacle := obstacles[index]:
            yield _warn(filter_path, f"no Task reaches this filter, because {obstacle}")
        yield from _check_targets(item.targets, (*filter_path, "targets"))
    if routing.filters and routing.default_filter is None and all(obstacles):
        message = "no Task can reach a target of this Workflow"
        yield Finding((*path, "filters"), message, WORKFLOWS)
    yield from _check_default(routing, path)


def _warn(path: Path, message: str, source: str = WORKFLOWS) -> Finding:
    return Finding(path, message, source, Severity.WARNING)


def _find_obstacle(item: Filter, preceding: Sequence[Filter]) -> str | None:
    """Return the reason that no Task reaches a filter, or None if none is found."""
    if _is_constant(item.expression, value=False):
        return "its expression is always false"
    for index, other in enumerate(preceding):
        matches_all = _is_constant(other.expression, value=True)
        matches_same = normalize(other.expression or ALWAYS) == normalize(item.expression or ALWAYS)
        if (matches_all or matches_same) and other.targets and not _has_exit(other.targets[-1]):
            name = other.filter_friendly_name or f"number {index + 1}"
            tasks = "all Tasks" if matches_all else "the same Tasks"
            return (
                f"filter {name} matches {tasks}, and its last target has neither timeout nor"
                " skip_if"
            )
    return None


def _is_constant(expression: str | None, *, value: bool) -> bool:
    return constant(expression or ALWAYS) is value


def _has_exit(target: Target) -> bool:
    """Return whether a Task can leave a target without being offered to a Worker."""
    return target.timeout is not None or target.skip_if is not None


def _check_targets(targets: Sequence[Target], path: Path) -> Iterator[Finding]:
    age = 0
    for index, target in enumerate(targets):
        if index and not _has_exit(targets[index - 1]):
            message = (
                "Tasks that wait for a free Worker never reach this target, because the preceding"
                " target has neither timeout nor skip_if"
            )
            yield _warn((*path, index), message)
        if age >= TASK_LIFETIME:
            message = (
                f"Tasks would reach this target after {age:,} seconds, but they are canceled after"
                f" {TASK_LIFETIME:,} seconds unless they are created with a longer Timeout"
            )
            yield _warn((*path, index), message, LIMITS)
        age += target.timeout or 0


def _check_default(routing: Routing, path: Path) -> Iterator[Finding]:
    """Yield findings about the default filter."""
    catch_alls = [item for item in routing.filters if _is_constant(item.expression, value=True)]
    unskippable = [
        item for item in catch_alls if any(target.skip_if is None for target in item.targets)
    ]
    default = routing.default_filter
    if default and unskippable:
        message = "no Task reaches the default filter, because another filter matches all Tasks"
        yield _warn((*path, "default_filter"), message)
    if routing.omits_default_filter and routing.filters and not catch_alls:
        message = (
            "there is no default_filter, so Tasks that match no filter are canceled; write"
            " default_filter: null if that is intended"
        )
        yield _warn(path, message)
    for key in ("expression", "timeout", "skip_if", "order_by"):
        if default and getattr(default, key) is not None:
            message = f"{key}: Twilio documents only queue and priority for default_filter"
            yield _warn((*path, "default_filter", key), message)
