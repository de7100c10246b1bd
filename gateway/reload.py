"""Another configuration while the gateway runs: checked whole, then taken over, or not at all.

Asked for by SIGHUP, `gateway reload`, or a platform's wish that is applied. Links and upstreams that
were up must be up again in time (`reload.rollback_after`), else the configuration before is taken
back.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import config_file
from gateway.config import Config, load_new_config
from gateway.config_history import fingerprint, remember
from gateway.errors import ConfigError, Problem, Refused
from gateway.exchange import exchange
from gateway.health import LinkHealth, LinkState
from gateway.model import EventKind, Severity
from gateway.plan import Plan, plan, watched
from gateway.snapshot import ConfigPart, ReloadAnswer
from gateway.supervise import contained
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
    file: str  # SHA-256 of the file itself, as platforms know it


class _Request(NamedTuple):
    by: str
    wait: bool  # for the end of the watch
    wish: bytes | None  # what is to be put into the place of the file first
    answer: "asyncio.Future[ReloadAnswer]"


class _Watch(NamedTuple):
    """Since a reload: what was up before it, what was right then, and when it is judged (loop time)."""

    up: frozenset[tuple[str, str]]  # what must be up: what, name
    good: Loaded
    until: float
    waiting: list[_Request]
    wished: bool  # the file is to be taken back too


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
        sha256 = "" if self._running is None else self._running.whole
        return {"sha256": sha256, "note": self.note, "retiring": list(self._app.retiring.devices)}

    def operators(self) -> int | None:
        """The group that may change something, by the configuration that runs."""
        return self._app.config.control.gid()

    def hang_up(self) -> None:
        """SIGHUP: as with other daemons, read the file again."""
        try:
            _answer = self._ask(SIGNAL, wait=False)
        except ValueError as error:
            log.warning("%s", error, extra=COMPONENT)

    async def asked(self, request: Mapping[str, object], uid: int) -> ReloadAnswer:
        """The verb `reload`. With `wait` it answers when the watch is over."""
        return await self._ask(f"cli uid {uid}", wait=request.get("wait") is True)

    async def wish(self, content: bytes, by: str) -> ReloadAnswer:
        """Put it into the place of the file and reload; the file goes back if the configuration does.

        Returns when the watch is over. Raises ValueError if too many wait.
        """
        return await self._ask(by, wait=True, wish=content)

    def _ask(
        self, by: str, *, wait: bool, wish: bytes | None = None
    ) -> "asyncio.Future[ReloadAnswer]":
        answer: asyncio.Future[ReloadAnswer] = asyncio.get_running_loop().create_future()
        try:
            self._requests.put_nowait(_Request(by, wait, wish, answer))
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
            answer = await self._serve(request)
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

    async def _serve(self, request: _Request) -> ReloadAnswer:
        path, by = self._app.config.path, request.by
        if request.wish is None:
            return await self._take(by)
        try:
            await asyncio.to_thread(config_file.put, path, request.wish)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            problem = _problem(self._app.config, "", *fault("config.unwritable", what=what))
            return self._refused(by, problem.problems)
        answer = await self._take(by, wished=True)
        if answer["outcome"] == "refused":
            await self._take_file_back()
        return answer

    async def _take_file_back(self) -> None:
        try:
            await asyncio.to_thread(config_file.take_back, self._app.config.path)
        except OSError as error:
            log.error("the configuration file is not what runs: %s", error, extra=COMPONENT)  # noqa: TRY400 -- the traceback tells no more
        else:
            self.note = ""

    async def _take(self, by: str, *, wished: bool = False) -> ReloadAnswer:
        app, before = self._app, self._running
        assert before is not None  # noqa: S101 -- `serving` has set it
        try:
            if app.safe_mode:
                raise _problem(app.config, "", *fault("config.reload", what=app.safe_mode))
            loading = partial(_load, app.config)  # a bug in a check must not end what runs
            new = await asyncio.to_thread(contained, "the configuration", loading)
            change = await asyncio.to_thread(
                plan, app.config, new.config, rules=new.rules != before.rules
            )
            if change.fixed:
                raise _problem(new.config, ", ".join(change.fixed), *fault("config.fixed"))
            up = self._up(watched(app.config, new.config, change))
            await exchange(app, new.config, change)
        except ConfigError as error:
            return self._refused(by, error.problems)
        except Refused as error:
            return self._refused(by, _problem(app.config, "", str(error), "see the log").problems)
        self._runs(new)
        if change.empty:
            self.note = ""
            return _answer("unchanged", new)
        kept = (new.config.state_dir, new.config.files, by, app.clock.time_ns())
        await asyncio.to_thread(remember, *kept)
        self._begin_watch(before, new, up, wished=wished)
        return self._applied(by, before, new, change)

    def _runs(self, loaded: Loaded) -> None:
        self._running = loaded
        for downlink in self._app.downlinks.values():
            downlink.now_runs(loaded.file)

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

    def _applied(self, by: str, before: Loaded, new: Loaded, change: Plan) -> ReloadAnswer:
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
        return _answer("applied", new, changes=change.told())

    def _begin_watch(
        self, before: Loaded, new: Loaded, up: frozenset[tuple[str, str]], *, wished: bool
    ) -> None:
        """A reload while another one is watched goes back to before both, if it goes back."""
        watch, self._watch = self._watch, None
        waiting = [] if watch is None else watch.waiting
        after_s = new.config.reload.rollback_after
        if watch is not None:
            before, up, wished = watch.good, up | watch.up, wished or watch.wished
        if after_s == 0 or not up:  # nothing that could be missed
            for request in waiting:
                _tell(request, _answer("confirmed", new))
            return
        until = asyncio.get_running_loop().time() + after_s
        self._watch = _Watch(up, before, until, waiting, wished)

    async def _judge(self) -> None:
        """The time is over: what was up is up again, or the configuration before comes back."""
        watch, running = self._watch, self._running
        assert watch is not None and running is not None  # noqa: S101, PT018 -- `_next` looked
        self._watch = None
        fallen = self._fallen(watch.up)
        answer = _answer("confirmed", running)
        if fallen:
            answer = await self._roll_back(watch, running, fallen)
        for request in watch.waiting:
            _tell(request, answer)

    async def _roll_back(self, watch: _Watch, bad: Loaded, fallen: list[str]) -> ReloadAnswer:
        good = watch.good
        back = plan(bad.config, good.config, rules=bad.rules != good.rules)
        await exchange(self._app, good.config, back)
        self._runs(good)
        reason = "; ".join(fallen)
        told: dict[str, object] = {"reason": reason, "sha256": good.whole, "before": bad.whole}
        self._app.tell(EventKind.CONFIG_ROLLED_BACK, Severity.OPERATIONAL, told)
        self._app.audit.record("gateway", "reload", "rolled back", **told)
        log.error("configuration rolled back: %s", reason, extra=COMPONENT)
        self.note = f"rolled back, the file is not what runs: {reason}"
        if watch.wished:
            await self._take_file_back()
        return _answer("rolled_back", good, reason=reason)

    def _healths(self) -> dict[tuple[str, str], LinkHealth]:
        app = self._app
        links = {("link", name): driver.health for name, driver in app.drivers.items()}
        return links | {("upstream", name): sink.health for name, sink in app.upstreams.items()}

    def _up(self, begins: Mapping[tuple[str, str], tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Of what `begins`, that which must come up: what did its work before is up."""
        healths = self._healths()
        up = {key for key, health in healths.items() if health.state is LinkState.UP}
        return frozenset(now for now, before in begins.items() if before in up)

    def _fallen(self, up: frozenset[tuple[str, str]]) -> list[str]:
        """Those that are configured still and are not up."""
        return [
            f"{what} {name} was up and is {health.state}: {health.reason}".removesuffix(": ")
            for (what, name), health in self._healths().items()
            if (what, name) in up and health.state is not LinkState.UP
        ]


def _prints(config: Config) -> Loaded:
    content = b""
    with suppress(OSError):  # gone since it was read
        content = config.path.read_bytes()
    file = hashlib.sha256(content).hexdigest()
    return Loaded(config, fingerprint(config.files), fingerprint(config.rule_files), file)


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
