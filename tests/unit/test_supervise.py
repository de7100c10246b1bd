"""The supervisor: transitions once, back-off within its bounds, bugs contained, an end at once."""

import asyncio
import gc
import logging
from contextlib import suppress

import pytest

from gateway.errors import BadData, GatewayError, LinkDown, Refused, TakenOver
from gateway.health import LinkHealth, LinkState
from gateway.supervise import Run, _delay_s, supervise
from tests.harness.virtual import LoopClock, virtual_time

Step = Exception | str | float


class Peer:
    """What `run` meets, one step a run: an error at once, "up" then cut, or seconds of being up.

    After the last step it stays up until it is cancelled.
    """

    def __init__(self, health: LinkHealth, clock: LoopClock, steps: list[Step]) -> None:
        self.health, self.clock, self.steps = health, clock, steps
        self.starts: list[float] = []
        self.ended: list[float] = []
        self.done = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        try:
            if not self.steps:
                self.done.set()
                await asyncio.Event().wait()
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            self.health.good(self.clock.boottime_ns())
            self.health.good(self.clock.boottime_ns())
            if isinstance(step, float):
                await asyncio.sleep(step)
            raise LinkDown("meters: cut")
        finally:
            self.ended.append(loop.time())

    @property
    def pauses(self) -> list[float]:
        return [start - end for end, start in zip(self.ended, self.starts[1:], strict=False)]


class Rig:
    def __init__(self, *steps: Step) -> None:
        self.clock = LoopClock()
        self.health = LinkHealth()
        self.peer = Peer(self.health, self.clock, list(steps))
        self.told: list[tuple[LinkState, str]] = []

    def transition(self, state: LinkState, reason: str) -> None:
        self.told.append((state, reason))

    async def supervise(self, run: Run | None = None) -> None:
        await supervise(
            "link meters", run or self.peer.run, self.health,
            clock=self.clock, transition=self.transition,
        )  # fmt: skip

    async def to_the_end(self) -> None:
        """Until the last step is done."""
        task = asyncio.create_task(self.supervise())
        await self.peer.done.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


@virtual_time
async def test_a_link_that_goes_down_and_comes_back_is_told_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    down = LinkDown("meters: no answer")
    rig = Rig("up", down, down, down, "up", down)
    await rig.to_the_end()
    assert rig.told == [
        (LinkState.UP, ""),
        (LinkState.DOWN, "meters: cut"),
        (LinkState.UP, ""),
        (LinkState.DOWN, "meters: cut"),
    ]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "up"),
        ("WARNING", "down: meters: cut"),
        ("INFO", "up"),
        ("WARNING", "down: meters: cut"),
    ]


@virtual_time
async def test_health_shows_the_latest_reason_and_since_when() -> None:
    rig = Rig(10.0, LinkDown("meters: no route to host"))
    begun_ns = rig.clock.boottime_ns()
    await rig.to_the_end()
    assert (rig.health.state, rig.health.reason) == (LinkState.DOWN, "meters: no route to host")
    assert rig.health.since_ns - begun_ns == pytest.approx(10e9)
    assert rig.health.last_good_ns == begun_ns


@virtual_time
async def test_a_refusal_after_a_fault_changes_the_word_but_is_not_told_again() -> None:
    rig = Rig(LinkDown("cut"), Refused("platform: not authorized"))
    await rig.to_the_end()
    assert (rig.health.state, rig.health.reason) == (LinkState.REFUSED, "platform: not authorized")
    assert rig.told == [(LinkState.DOWN, "cut")]


@virtual_time
async def test_the_second_time_that_somebody_takes_our_place_is_for_the_operator() -> None:
    rig = Rig(TakenOver("gw: taken over"), 1.0, TakenOver("gw: taken over"))
    await rig.to_the_end()
    assert rig.health.counters["taken_over"] == 2
    assert rig.health.state is LinkState.REFUSED
    assert rig.health.reason.startswith("gw: taken over; does another client use our identifier")
    assert rig.peer.pauses[0] <= 2
    assert rig.peer.pauses[-1] >= 30


@virtual_time
async def test_who_takes_our_place_once_an_hour_makes_us_wait_no_longer() -> None:
    rig = Rig(TakenOver("taken over"), 3600.0, TakenOver("taken over"))
    await rig.to_the_end()
    assert (rig.health.counters["taken_over"], rig.health.state) == (2, LinkState.DOWN)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (LinkDown("a"), LinkState.DOWN, "a"),
        (Refused("b"), LinkState.REFUSED, "b"),
        (BadData("c"), LinkState.DOWN, "c"),
        (GatewayError("d"), LinkState.DOWN, "d"),
    ],
)
@virtual_time
async def test_each_kind_of_error_has_its_state(
    error: GatewayError, state: LinkState, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(error)
    await rig.to_the_end()
    assert rig.told == [(state, reason)]
    assert all(record.exc_info is None for record in caplog.records), "no traceback, no bug"


@virtual_time
async def test_a_bug_is_contained_logged_with_its_traceback_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(ZeroDivisionError("division by zero"), ExceptionGroup("two", [ValueError("x")]), "up")
    await rig.to_the_end()
    assert rig.told[0] == (
        LinkState.DOWN,
        "internal error: ZeroDivisionError: division by zero",
    )
    assert (LinkState.UP, "") in rig.told
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ["link meters failed"] * 2
    assert errors[0].exc_info
    assert errors[0].exc_info[0] is ZeroDivisionError


@virtual_time
async def test_a_run_that_returns_has_a_bug() -> None:
    rig = Rig()

    async def returns() -> None:
        rig.peer.starts.append(0)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await rig.supervise(returns)
    assert rig.told == [(LinkState.DOWN, "internal error: it returned")]
    assert len(rig.peer.starts) > 1


@virtual_time
async def test_a_run_that_cancels_itself_is_started_again() -> None:
    """A library may leak a cancellation of its own: that must not end the link for ever."""
    rig = Rig()

    async def leaks() -> None:
        rig.peer.starts.append(0)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await rig.supervise(leaks)
    assert rig.told[0][0] is LinkState.DOWN
    assert "internal error" in rig.told[0][1]
    assert len(rig.peer.starts) > 1


@pytest.mark.parametrize("steps", [[], [LinkDown("cut")]])
@virtual_time
async def test_cancelling_ends_it_at_once_while_it_runs_and_while_it_waits(
    steps: list[Step],
) -> None:
    rig = Rig(*steps)
    task = asyncio.create_task(rig.supervise())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert asyncio.get_running_loop().time() == pytest.approx(0.1)
    assert len(rig.peer.starts) == 1


@virtual_time
async def test_an_error_while_it_closes_at_the_end_is_not_left_unread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()

    async def fails_to_close() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LinkDown("meters: the socket was gone already")

    task = asyncio.create_task(rig.supervise(fails_to_close))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    del task
    gc.collect()
    assert [r for r in caplog.records if r.name == "asyncio"] == []


@virtual_time
async def test_a_run_that_does_not_end_is_left_behind_after_five_seconds() -> None:
    rig = Rig()
    release = asyncio.Event()

    async def hangs() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    task = asyncio.create_task(rig.supervise(hangs))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task})
    assert asyncio.get_running_loop().time() == pytest.approx(5.1)
    release.set()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("failures", [1, 2, 3, 6, 7, 50, 10_000])
def test_the_pause_is_one_to_sixty_seconds_and_its_ceiling_doubles(failures: int) -> None:
    pauses = [_delay_s(failures, LinkState.DOWN) for _ in range(500)]
    ceiling = min(60.0, 2.0**failures if failures < 10 else 60.0)
    assert min(pauses) >= 1.0
    assert max(pauses) <= ceiling
    assert max(pauses) - min(pauses) > 0.8 * (ceiling - 1.0), "full jitter"


def test_a_peer_that_refuses_is_asked_rarely() -> None:
    pauses = [_delay_s(1, LinkState.REFUSED) for _ in range(500)]
    assert 30 <= min(pauses) <= max(pauses) <= 60


@virtual_time
async def test_the_back_off_grows_with_each_failure_and_starts_anew_after_a_stable_minute() -> None:
    down = LinkDown("cut")
    rig = Rig(*[down] * 7, 59.0, 61.0, down)
    await rig.to_the_end()
    assert all(1.0 <= pause <= min(60.0, 2.0**n) for n, pause in enumerate(rig.peer.pauses[:8], 1))
    assert rig.peer.pauses[8] <= 2.0, "after a minute of being up"
    assert rig.peer.pauses[9] <= 4.0
