"""Another configuration while the gateway runs: checked whole, then taken over, or not at all.

Asked for by SIGHUP, `gateway reload`, or a platform's wish that is applied. Links and upstreams that
were up must be up again in time (`reload.rollback_after`), else the configuration before is taken
back.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.audit_hooks import fingerprint
from gateway.config import Config, load_new_config
from gateway.config_history import remember
from gateway.errors import ConfigError, Problem, Refused
from gateway.exchange import exchange
from gateway.health import LinkHealth, LinkState
from gateway.model import EventKind, Severity
from gateway.plan import Plan, plan
from gateway.snapshot import ConfigPart, ReloadAnswer
from gateway.words.text import fault

if TYPE_CHECKING:
    from gateway.app import App

log = logging.getLogger(__name__)

WAITING = 4  # requests; each reads the newest file, so more would tell nothing more
SIGNAL = "signal SIGHUP"
COMPONENT = {"component": "reload"}


class Loaded(NamedTuple):
    """A configuration and fingerprints of its files, of all and of its rules alone."""

    config: Config
    whole: str
    rules: str


class _Request(NamedTuple):
    by: str
    wait: bool  # for the end of the watch
    answer: "asyncio.Future[ReloadAnswer]"


class _Watch(NamedTuple):
    """Since a reload: what was up before it, what was right then, and when it is judged (loop time)."""

    up: frozenset[tuple[str, str]]  # what, name
    good: Loaded
    until: float
    waiting: list[_Request]


class Reload:
    def __init__(self, app: "App") -> None:
        self._app = app
        self._requests: asyncio.Queue[_Request] = asyncio.Queue(WAITING)
        self._running: Loaded | None = None
        self._watch: _Watch | None = None
        self.note = ""  # for `status`: the file is not what runs

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """For the time of the block requests are served, one after the other."""
        self._running = await asyncio.to_thread(_prints, self._app.config)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._run(), name="reload")
            try:
                yield
            finally:
                task.cancel()

    def part(self) -> ConfigPart:
        return {"sha256": "" if self._running is None else self._running.whole, "note": self.note}

    def hang_up(self) -> None:
        """SIGHUP: as with other daemons, read the file again."""
        try:
            _answer = self._ask(SIGNAL, wait=False)
        except ValueError as error:
            log.warning("%s", error, extra=COMPONENT)

    async def asked(self, request: Mapping[str, object], uid: int) -> ReloadAnswer:
        """The verb `reload`. With `wait` it answers when the watch is over."""
        return await self._ask(f"cli uid {uid}", wait=request.get("wait") is True)

    def _ask(self, by: str, *, wait: bool) -> "asyncio.Future[ReloadAnswer]":
        answer: asyncio.Future[ReloadAnswer] = asyncio.get_running_loop().create_future()
        try:
            self._requests.put_nowait(_Request(by, wait, answer))
        except asyncio.QueueFull:
            raise ValueError(f"{WAITING} other reloads wait: try again") from None
        return answer

    async def _run(self) -> None:
        while True:
            request = await self._next()
            if request is None:
                await self._judge()
                continue
            self._app.systemd.reloading()
            answer = await self._serve(request.by)
            self._app.systemd.ready(len(self._app.devices))
            if request.wait and self._watch is not None and answer["outcome"] == "applied":
                self._watch.waiting.append(request)
            else:
                _tell(request, answer)

    async def _next(self) -> _Request | None:
        """None: the time of the watch is over."""
        left_s = None
        if self._watch is not None:
            left_s = max(0.0, self._watch.until - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left_s):
                return await self._requests.get()
        except TimeoutError:
            return None

    async def _serve(self, by: str) -> ReloadAnswer:
        app, before = self._app, self._running
        assert before is not None  # noqa: S101 -- `serving` has set it
        try:
            if app.safe_mode:
                raise _problem(app.config, "", *fault("config.reload", what=app.safe_mode))
            new = await asyncio.to_thread(_load, app.config)
            change = plan(app.config, new.config, rules=new.rules != before.rules)
            if change.fixed:
                raise _problem(new.config, ", ".join(change.fixed), *fault("config.fixed"))
            up = self._up() & change.restarted
            await exchange(app, new.config, change)
        except ConfigError as error:
            return self._refused(by, error.problems)
        except Refused as error:
            return self._refused(by, _problem(app.config, "", str(error), "see the log").problems)
        self._running = new
        if change.empty:
            self.note = ""
            return _answer("unchanged", new)
        kept = (new.config.state_dir, new.config.files, by, app.clock.time_ns())
        await asyncio.to_thread(remember, *kept)
        return self._applied(by, before, new, change, up)

    def _refused(self, by: str, problems: list[Problem]) -> ReloadAnswer:
        for problem in problems:
            log.error("%s", problem, extra=COMPONENT)
        log.error("reload refused: the configuration before goes on", extra=COMPONENT)
        told: dict[str, object] = {"by": by, "problems": len(problems), "first": str(problems[0])}
        self._app.tell(EventKind.CONFIG_REFUSED, Severity.OPERATIONAL, told)
        self._app.audit.record(by, "reload", "refused", problems=len(problems))
        assert self._running is not None  # noqa: S101 -- as above
        self.note = "the configuration file is refused, the one before goes on"
        return _answer("refused", self._running, problems=[p._asdict() for p in problems])

    def _applied(
        self, by: str, before: Loaded, new: Loaded, change: Plan, up: frozenset[tuple[str, str]]
    ) -> ReloadAnswer:
        told: dict[str, object] = {
            "by": by,
            "sha256": new.whole,
            "before": before.whole,
            "changes": change.told(),
        }
        self._app.tell(EventKind.CONFIG_APPLIED, Severity.OPERATIONAL, told)
        self._app.audit.record(by, "reload", "applied", sha256=new.whole, before=before.whole)
        log.info("configuration applied: %s", change.told(), extra=COMPONENT)
        self.note = ""
        self._begin_watch(before, new, change, up)
        return _answer("applied", new, changes=change.told())

    def _begin_watch(
        self, before: Loaded, new: Loaded, change: Plan, up: frozenset[tuple[str, str]]
    ) -> None:
        """A reload while another one is watched goes back to before both, if it goes back."""
        good, waiting = before, []
        if self._watch is not None:
            good, waiting, up = self._watch.good, self._watch.waiting, up | self._watch.up
        after_s = new.config.reload.rollback_after
        if after_s == 0:
            self._watch = None
            return
        until = asyncio.get_running_loop().time() + after_s
        self._watch = _Watch(up, good, until, waiting)

    async def _judge(self) -> None:
        """The time is over: what was up is up again, or the configuration before comes back."""
        watch, running = self._watch, self._running
        assert watch is not None and running is not None  # noqa: S101, PT018 -- `_next` looked
        self._watch = None
        fallen = self._fallen(watch.up)
        answer = _answer("confirmed", running)
        if fallen:
            answer = await self._roll_back(watch.good, running, fallen)
        for request in watch.waiting:
            _tell(request, answer)

    async def _roll_back(self, good: Loaded, bad: Loaded, fallen: list[str]) -> ReloadAnswer:
        back = plan(bad.config, good.config, rules=bad.rules != good.rules)
        await exchange(self._app, good.config, back)
        self._running = good
        reason = "; ".join(fallen)
        told: dict[str, object] = {"reason": reason, "sha256": good.whole, "before": bad.whole}
        self._app.tell(EventKind.CONFIG_ROLLED_BACK, Severity.OPERATIONAL, told)
        self._app.audit.record("gateway", "reload", "rolled back", **told)
        log.error("configuration rolled back: %s", reason, extra=COMPONENT)
        self.note = f"rolled back, the file is not what runs: {reason}"
        return _answer("rolled_back", good, reason=reason)

    def _healths(self) -> dict[tuple[str, str], LinkHealth]:
        app = self._app
        links = {("link", name): driver.health for name, driver in app.drivers.items()}
        return links | {("upstream", name): sink.health for name, sink in app.upstreams.items()}

    def _up(self) -> frozenset[tuple[str, str]]:
        found = self._healths().items()
        return frozenset(key for key, health in found if health.state is LinkState.UP)

    def _fallen(self, up: frozenset[tuple[str, str]]) -> list[str]:
        """Those that are configured still and are not up."""
        return [
            f"{what} {name} was up and is {health.state}: {health.reason}".removesuffix(": ")
            for (what, name), health in self._healths().items()
            if (what, name) in up and health.state is not LinkState.UP
        ]


def _prints(config: Config) -> Loaded:
    return Loaded(config, fingerprint(config.files), fingerprint(config.rule_files))


def _load(running: Config) -> Loaded:
    """Raises ConfigError. Seconds for thousands of devices: in a thread, which yields to the loop."""
    return _prints(load_new_config(running.path))


def _problem(config: Config, path: str, what: str, fix: str) -> ConfigError:
    return ConfigError([Problem(os.fspath(config.path), 0, 0, path, what, fix)])


def _answer(
    outcome: str,
    running: Loaded,
    *,
    changes: dict[str, object] | None = None,
    problems: list[dict[str, Any]] | None = None,
    reason: str = "",
) -> ReloadAnswer:
    return {
        "outcome": outcome, "sha256": running.whole, "changes": changes or {},
        "problems": problems or [], "notes": [str(note) for note in running.config.notes],
        "rollback_after_s": running.config.reload.rollback_after, "reason": reason,
    }  # fmt: skip


def _tell(request: _Request, answer: ReloadAnswer) -> None:
    if not request.answer.done():  # who asked may have hung up
        request.answer.set_result(answer)
