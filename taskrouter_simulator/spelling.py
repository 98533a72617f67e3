"""Suggests corrections for misspelled names."""

from collections.abc import Iterable
from difflib import get_close_matches

_MAX_LENGTH = 100
"""Maximum number of characters of an unknown name that are compared and shown."""


def fold(name: str) -> str:
    """Return a name in lower case without underscores, to compare snake_case with CamelCase."""
    return name.replace("_", "").lower()


def find_similar(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar to a name, or None.

    Args:
        name: An unknown name.
        known: The known names.
        cutoff: Minimum similarity from 0 to 1. The similarity is 1 if the names differ only in
            case and underscores.
    """
    by_folded = {fold(candidate): candidate for candidate in known}
    matches = get_close_matches(fold(name[:_MAX_LENGTH]), by_folded, n=1, cutoff=cutoff)
    return by_folded[matches[0]] if matches else None


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """Return an unknown name, followed by the most similar known name or all known names."""
    names = list(known)
    similar = find_similar(name, names)
    prefix = "use one of " if len(names) > 1 else "use "
    choices = prefix + ", ".join(names) if names else "no names are allowed here"
    return f"{name[:_MAX_LENGTH]!r}; " + (f"did you mean {similar}?" if similar else choices)
