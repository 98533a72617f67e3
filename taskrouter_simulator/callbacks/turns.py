"""An order between two callbacks that tell of the same thing."""

from collections.abc import Callable


class Turns:
    """Has whatever comes second wait until the first was answered."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def begin(self, sid: str, start: Callable[[], None]) -> None:
        """Start, at once if nothing about that SID is under way, else when it has ended."""
        if sid in self._waiting:
            self._waiting[sid].append(start)
        else:
            self._waiting[sid] = []
            start()

    def end(self, sid: str) -> None:
        """Note that something about the SID was answered."""
        for start in self._waiting.pop(sid, []):
            start()

    def forget(self) -> None:
        """Let nobody wait any more."""
        self._waiting.clear()
