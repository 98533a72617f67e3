"""The time as it is."""

import time


class SystemClock:
    """`chalicelib.usecases.ports.Clock` over the system's clock."""

    def now_ms(self) -> int:
        """Return the time, in epoch ms."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
