"""Says what the event loop is doing when it does nothing else: the stack of its thread, in the log."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

LOOK_S = 0.5
STUCK_S = 2.0  # many times what a busy gateway ever needs for one turn


@contextmanager
def watching(age_s: Callable[[], float]) -> Iterator[None]:
    """For the time of the block a thread looks after the loop of this one; `age_s`: since its last turn.

    Each time that it hangs is told once.
    """
    over = threading.Event()
    mine = threading.get_ident()
    thread = threading.Thread(
        target=_watch, args=(mine, age_s, over), name="loop-watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()


def _watch(ident: int, age_s: Callable[[], float], over: threading.Event) -> None:
    told = False
    while not over.wait(LOOK_S):
        stuck = age_s() > STUCK_S
        if stuck and not told:
            frame = sys._current_frames().get(ident)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "gone"
            extra = {"component": "loop"}
            log.error("the event loop hangs since %.1f s at:\n%s", age_s(), stack, extra=extra)
        told = stuck
