"""The configuration that a platform wishes: kept, checked, reported; applied only where that is configured.

Else `gateway config desired` shows it to the operator, who applies it or not.
"""

import asyncio
import hashlib
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.audit import AuditLog
from gateway.config_file import WISHES
from gateway.document import mapping_at, parse
from gateway.errors import BadData, ConfigError
from gateway.sinks.allowance import Allowance
from gateway.snapshot import ReloadAnswer
from gateway.store.identity import sync_directory

log = logging.getLogger(__name__)

MAX_BYTES = 256 * 1024  # 1,000 devices take about 200 KB
CHECK_S = 60.0
CHECKS = 1, 20  # a minute in the long run, and at once: each is a second of work
ERRORS = 20  # in a report
UNCHECKED = "unchecked"
_GATEWAY = "import sys; from gateway.cli.main import main; sys.exit(main())"


class Wish(BaseModel):
    """A message on `config/desired` (configs/asyncapi.yaml, schema `Desired`)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")
    id: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,64}$")]
    config: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


Apply = Callable[[bytes, str], Awaitable[ReloadAnswer]]
"""Takes the content of a configuration and who wishes it; returns how that ended."""


class Desired:
    """Of one upstream, in the folder `desired` of the state directory. `config` is the running file."""

    def __init__(
        self, origin: str, directory: Path, config: Path, *, gateway_id: str, audit: AuditLog,
        apply: Apply | None = None,
    ) -> None:  # fmt: skip
        """`apply`: without asking anybody."""
        self._apply = apply
        self._origin = origin
        self._file = directory / WISHES / f"{origin}.yaml"
        self._config = config
        self._gateway_id = gateway_id
        self._audit = audit
        self._running = ""
        self._known: dict[str, Any] = {}  # id, sha256, state, errors of the newest wish
        self._newest: bytes | None = None
        self._last = b""  # retained at the broker, it comes again at each connect
        self._arrived = asyncio.Event()
        self._allowance = Allowance(*CHECKS)

    def take(self, payload: bytes) -> None:
        """Only the newest one counts. Never waits."""
        self._newest = payload
        self._arrived.set()

    def now_runs(self, sha256: str) -> None:
        """The gateway goes by this file from now on."""
        self._running = sha256
        if self._known.get("sha256") == sha256:
            self._known["state"] = "applied"
        elif self._known.get("state") == "applied":
            self._known["state"] = "pending"
        self._arrived.set()

    def report(self) -> bytes | None:
        """What is to be said on `config/reported`; None before `run` knows it."""
        if not self._running:
            return None
        running = {"sha256": self._running}
        return orjson.dumps({"v": 1, "running": running, "desired": self._known or None})

    async def run(self, report: Callable[[], None]) -> None:
        """Take wishes one after the other, until cancelled; `report` is called when there is news."""
        self._running, self._known = await asyncio.to_thread(self._look)
        while True:
            report()
            await self._arrived.wait()
            await asyncio.sleep(
                self._allowance.wait_s(time.monotonic())
            )  # the newest is taken then
            self._arrived.clear()
            payload, self._newest = self._newest, None
            if payload and payload != self._last:  # an empty one takes a wish back from the broker
                self._last = payload
                self._allowance.take(time.monotonic())
                await self._consider(payload)

    def _look(self) -> tuple[str, dict[str, Any]]:
        known: dict[str, Any] = {}
        with suppress(OSError, orjson.JSONDecodeError):
            known = orjson.loads(self._file.with_suffix(".json").read_bytes())
        running = hashlib.sha256(self._config.read_bytes()).hexdigest()
        if (
            known.get("state") == UNCHECKED
        ):  # a stop came between: it is checked when it comes again
            known = {}
        if known.get("sha256") == running:
            known["state"] = "applied"
        return running, known

    async def _consider(self, payload: bytes) -> None:
        try:
            wish, digest = await asyncio.to_thread(self._read, payload)
        except BadData as error:
            self._settle({"id": None, "sha256": None, "state": "refused", "errors": [{"what": str(error)}]})  # fmt: skip
            return
        if (wish.id, digest) == (self._known.get("id"), self._known.get("sha256")):
            return  # known since before the last start
        known: dict[str, Any] = {"id": wish.id, "sha256": digest, "errors": []}
        try:
            await asyncio.to_thread(self._keep, wish.config.encode(), {**known, "state": UNCHECKED})
            known["errors"] = await self._check()
            known["state"] = "refused" if known["errors"] else "pending"
            if digest == self._running:
                known["state"] = "applied"
            await asyncio.to_thread(self._keep, wish.config.encode(), known)
        except (OSError, TimeoutError) as error:
            known |= {"state": "refused", "errors": [{"what": f"not kept: {error}"}]}
        self._settle(known)
        if self._apply is not None and known["state"] == "pending":
            await self._take_over(wish.config.encode(), known, self._apply)

    async def _take_over(self, content: bytes, known: dict[str, Any], apply: Apply) -> None:
        """The reload may end this task: then the next one finds the wish applied."""
        try:
            answer = await apply(content, self._origin)
        except ValueError as error:  # too many wait
            known |= {"state": "pending", "errors": [{"what": str(error)}]}
        else:
            if answer["outcome"] == "refused":
                known |= {
                    "state": "refused",
                    "errors": _shown(answer["problems"], str(self._config)),
                }
            elif answer["outcome"] == "rolled_back":
                known |= {"state": "rolled_back", "errors": [{"what": answer["reason"]}]}
        self._settle(known)

    def _settle(self, known: dict[str, Any]) -> None:
        self._known = known
        self._audit.record(
            self._origin, "desired", known["state"], id=known["id"], sha256=known["sha256"],
            errors=len(known["errors"]),
        )  # fmt: skip
        log.warning(
            "%s wishes another configuration: %s; see `gateway config desired`", self._origin,
            known["state"], extra={"component": f"downlink:{self._origin}"},
        )  # fmt: skip

    def _read(self, payload: bytes) -> tuple[Wish, str]:
        """Raises BadData. In a thread: a large YAML file takes its time."""
        if len(payload) > MAX_BYTES:
            raise BadData(f"{len(payload)} bytes are more than {MAX_BYTES}")
        try:
            wish = Wish.model_validate_json(payload)
            text = wish.config.encode()
            document = parse(text, self._config.name)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise BadData(
                f"{'.'.join(map(str, first['loc'])) or 'payload'}: {first['msg']}"
            ) from error
        except (ConfigError, UnicodeEncodeError) as error:
            raise BadData(str(error).splitlines()[0]) from error
        digest = hashlib.sha256(text).hexdigest()
        if wish.sha256 not in {None, digest}:
            raise BadData(f"sha256 of config is {digest}, not {wish.sha256}")
        gateway = mapping_at(mapping_at(document.value).get("gateway")).get("id")
        if gateway != self._gateway_id:
            raise BadData(f"it is for gateway {gateway!r}, this is {self._gateway_id!r}")
        return wish, digest

    def _keep(self, text: bytes, known: dict[str, Any]) -> None:
        """Durable, text before what is said about it."""
        self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        for path, content in (
            (self._file, text),
            (self._file.with_suffix(".json"), orjson.dumps(known)),
        ):
            new = path.with_suffix(".new")
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        sync_directory(self._file.parent)

    async def _check(self) -> list[dict[str, object]]:
        """As `gateway check` does, in a process of its own: seconds of work that no alarm waits for.

        Only what is wrong in the wish itself is reported: messages about other files could show a
        platform what stands in them. Raises OSError, TimeoutError.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _GATEWAY, "check", "--json", "--at", str(self._config), str(self._file),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(CHECK_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            problems = orjson.loads(output)["problems"]
        except (orjson.JSONDecodeError, KeyError) as error:
            raise OSError(f"the check ended with {process.returncode}") from error
        return _shown(problems, str(self._config))


def _shown(problems: list[dict[str, object]], file: str) -> list[dict[str, object]]:
    own = [{k: p[k] for k in ("line", "column", "path", "what", "fix")} for p in problems if p["file"] == file]  # fmt: skip
    others = len(problems) - len(own)
    told: list[dict[str, object]] = (
        [{"what": f"problems in its rules and profiles: {others}"}] if others else []
    )
    return [*own[:ERRORS], *told]
