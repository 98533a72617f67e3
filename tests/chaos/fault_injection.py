"""Stands before the outside world, counts the calls, and does as it is told at one of them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

BEFORE, AFTER = "before", "after"


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches SIGKILL."""


class Saboteur:
    """Does something at the n-th outside call, before or after it takes effect.

    After `kill` every further call is killed too, in whatever thread, until `revive`.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._plan: dict[tuple[int, str], Callable[[str], None]] = {}
        self._dead = False

    def at(self, number: int, moment: str, act: Callable[[str], None]) -> None:
        """Have *act* done, with the call's name, at the call of that number; it may raise."""
        self._plan[number, moment] = act

    def kill(self, _name: str = "") -> None:
        self._dead = True
        raise Killed

    def revive(self) -> None:
        """Begin anew, with nothing planned."""
        self.calls.clear()
        self._plan.clear()
        self._dead = False

    def call(self, name: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        with self._lock:
            if self._dead:
                raise Killed
            self.calls.append(name)
            number = len(self.calls)
        self._act(number, BEFORE, name)
        try:
            answer = function(*given, **named)
        except Exception:
            # Told no, too, is an outside call that has come to its end.
            self._act(number, AFTER, name)
            raise
        if isinstance(answer, Iterator):
            # A lazy answer has its effect when it is read.
            answer = iter(list(answer))
        self._act(number, AFTER, name)
        return answer

    def _act(self, number: int, moment: str, name: str) -> None:
        act = self._plan.pop((number, moment), None)
        if act:
            act(name)


class Sabotaged:
    """An outside thing, all of whose methods go through a Saboteur."""

    def __init__(self, what: str, real: Any, saboteur: Saboteur) -> None:
        self._what, self._real, self._saboteur = what, real, saboteur

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._real, name)

        def through(*given: Any, **named: Any) -> Any:
            return self._saboteur.call(f"{self._what}.{name}", function, *given, **named)

        return through
