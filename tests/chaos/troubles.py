"""What goes wrong with whole programs: one trouble at a time, at any time."""

import asyncio
from collections import Counter

from tests.chaos.plan import Link, Trouble
from tests.chaos.stage import Stage

_FROZEN_SECONDS = 1.5
_AWAY_SECONDS = 1.5
_DEAD_SECONDS = 0.3


class Troubles:
    """Makes trouble on a stage.

    Attributes:
        struck: how often each has struck.
    """

    def __init__(self, stage: Stage) -> None:
        self.struck: Counter[Trouble] = Counter()
        self._stage = stage
        self._busy = asyncio.Lock()

    async def strike(self, trouble: Trouble) -> None:
        """Make *trouble*, unless another is under way."""
        if self._busy.locked():
            return
        async with self._busy:
            self.struck[trouble] += 1
            await self._make(trouble)

    async def over(self) -> None:
        """Wait until the one that is under way is over."""
        async with self._busy:
            pass

    async def _make(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.API_KILLED:
                await self._kill("api")
            case Trouble.SWEEP_KILLED:
                await self._kill("sweep")
            case Trouble.API_FROZEN:
                with self._stage.frozen("api"):
                    await asyncio.sleep(_FROZEN_SECONDS)
            case Trouble.DATABASE_AWAY:
                await self._away(Link.DATABASE)
            case Trouble.TASKROUTER_AWAY:
                await self._away(Link.REST)

    async def _kill(self, name: str) -> None:
        self._stage.kill(name)
        await asyncio.sleep(_DEAD_SECONDS)
        await self._stage.start_again(name)

    async def _away(self, link: Link) -> None:
        proxy = self._stage.links[link]
        proxy.away = True
        try:
            await asyncio.sleep(_AWAY_SECONDS)
        finally:
            proxy.away = False
