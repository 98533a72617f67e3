"""Did you mean …?"""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like *name*, None where none is.

    Args:
        name: what was written.
        known: what could be meant.
        cutoff: how alike they must be, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415  needed only where something is wrong

    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None
