"""An event loop whose time jumps to the next timer: a minute of back-off takes no time to test."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from tests.harness.clock import FakeClock

P = ParamSpec("P")


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting it moves `now` on; what is ready at once comes first."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("every task waits for something that never happens")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock(FakeClock):
    """Goes with the time of the running loop; `advance` adds to it."""

    def boottime_ns(self) -> int:
        return super().boottime_ns() + round(asyncio.get_running_loop().time() * 1e9)


def virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine test on a `VirtualLoop`; no task may be left behind."""

    async def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        await test(*args, **kwargs)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(guarded(*args, **kwargs))

    return run
