"""Intercepts a use case's calls to its dependencies and injects faults."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

BEFORE, AFTER = "before", "after"


class ProcessKilled(BaseException):
    """Simulates SIGKILL. Handlers for `Exception` do not catch a BaseException."""


class FaultInjector:
    """Performs an action before or after the nth intercepted call takes effect.

    After `kill`, every call in any thread raises ProcessKilled until `reset` is called.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._actions: dict[tuple[int, str], Callable[[str], None]] = {}
        self._is_killed = False

    def inject(self, number: int, moment: str, action: Callable[[str], None]) -> None:
        """Perform an action before or after the nth call.

        The action receives the name of the call and may raise an exception.
        """
        self._actions[number, moment] = action

    def kill(self, _name: str = "") -> None:
        self._is_killed = True
        raise ProcessKilled

    def reset(self) -> None:
        """Clear all calls and actions, and let calls succeed again after `kill`."""
        self.calls.clear()
        self._actions.clear()
        self._is_killed = False

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._is_killed:
                raise ProcessKilled
            self.calls.append(name)
            number = len(self.calls)
        self._act(number, BEFORE, name)
        try:
            result = function(*args, **kwargs)
        except Exception:
            # The call has ended, so perform the action even though the call failed.
            self._act(number, AFTER, name)
            raise
        if isinstance(result, Iterator):
            # Consume a lazy result now, because it sends its requests during iteration.
            result = iter(list(result))
        self._act(number, AFTER, name)
        return result

    def _act(self, number: int, moment: str, name: str) -> None:
        action = self._actions.pop((number, moment), None)
        if action:
            action(name)


class FaultInjectingProxy:
    """Passes all method calls on a dependency through a FaultInjector."""

    def __init__(self, name: str, dependency: Any, injector: FaultInjector) -> None:
        self._name, self._dependency, self._injector = name, dependency, injector

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._dependency, name)

        def intercepted(*args: Any, **kwargs: Any) -> Any:
            return self._injector.call(f"{self._name}.{name}", function, *args, **kwargs)

        return intercepted
