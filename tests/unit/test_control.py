"""The control socket: whatever a careless script does to it, the daemon's side goes on."""

import asyncio
import logging
import os
import shutil
import socket
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import orjson
import pytest

from gateway import control
from gateway.ask import NAME, ask
from gateway.control import MAX_CONNECTIONS, MAX_REQUEST, Access, serve


class Verbs:
    """The handlers of a small daemon."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.uids: list[int] = []
        self.running = 0
        self.ended = 0

    async def echo(self, request: Mapping[str, object], uid: int) -> object:
        self.uids.append(uid)
        return request

    async def refuse(self, request: Mapping[str, object], _uid: int) -> object:
        raise ValueError(f"no device {request.get('device')}")

    async def bug(self, request: Mapping[str, object], _uid: int) -> object:
        return request["missing"]

    async def big(self, request: Mapping[str, object], _uid: int) -> object:
        return "x" * 4_000_000

    async def wait(self, request: Mapping[str, object], _uid: int) -> object:
        self.running += 1
        try:
            await self.release.wait()
        finally:
            self.ended += 1
        return None

    @asynccontextmanager
    async def served(self, directory: Path) -> AsyncIterator[None]:
        handlers = {
            "echo": self.echo, "refuse": self.refuse, "bug": self.bug, "big": self.big, "wait": self.wait,
        }  # fmt: skip
        async with serve(directory, handlers):
            yield


@pytest.fixture
async def verbs(tmp_path: Path) -> AsyncIterator[Verbs]:
    one = Verbs()
    async with one.served(tmp_path):
        yield one


async def asked(directory: Path, request: Mapping[str, object], timeout_s: float = 5) -> object:
    return await asyncio.to_thread(ask, directory, request, timeout_s)


async def answer_to(directory: Path, raw: bytes) -> dict[str, object]:
    """What the daemon says to these bytes; an empty dict if it only hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(directory / NAME))
    try:
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(5):
            line = await reader.read()
    except ConnectionError:
        line = b""
    finally:
        writer.close()
    found = orjson.loads(line) if line else {}
    assert isinstance(found, dict)
    return found


async def still_well(directory: Path) -> None:
    assert await asked(directory, {"verb": "echo", "a": 1}) == {"verb": "echo", "a": 1}


@pytest.mark.both_loops
async def test_a_question_gets_its_answer_and_the_handler_knows_who_asks(
    tmp_path: Path, verbs: Verbs
) -> None:
    await still_well(tmp_path)
    assert verbs.uids == [os.getuid()]


async def test_a_handler_that_refuses_is_a_value_error_with_its_words(
    tmp_path: Path, verbs: Verbs
) -> None:
    with pytest.raises(ValueError, match="no device x"):
        await asked(tmp_path, {"verb": "refuse", "device": "x"})
    await still_well(tmp_path)


async def test_a_bug_in_a_handler_is_logged_and_hurts_only_who_asked(
    tmp_path: Path, verbs: Verbs, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionError, match="ended the connection"):
        await asked(tmp_path, {"verb": "bug"})
    assert caplog.records[0].exc_info
    await still_well(tmp_path)


async def test_an_unknown_verb_is_refused_with_the_known_ones(tmp_path: Path, verbs: Verbs) -> None:
    with pytest.raises(
        ValueError, match="unknown verb 'dance'; known: echo, refuse, bug, big, wait"
    ):
        await asked(tmp_path, {"verb": "dance"})
    with pytest.raises(ValueError, match="unknown verb None"):
        await asked(tmp_path, {})


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "not understood"),
        (b"\n", "not understood"),
        (b"hello\n", "not understood"),
        (b"\x00\xff\xfe" * 100 + b"\n", "not understood"),
        (b"GET / HTTP/1.1\r\n\r\n", "not understood"),
        (b'{"verb": "echo"', "not understood"),
        (b'{"verb": NaN}\n', "not understood"),
        (b"[" * 5000 + b"\n", "not understood"),
        (b"null\n", "unknown verb"),
        (b'["verb"]\n', "unknown verb"),
        (b'{"verb": {"echo": 1}}\n', "unknown verb"),
        (b'{"verb": ["echo"]}\n', "unknown verb"),
    ],
)
async def test_junk_gets_an_error_and_hurts_nobody(
    tmp_path: Path, verbs: Verbs, raw: bytes, error: str
) -> None:
    assert error in str((await answer_to(tmp_path, raw))["error"])
    await still_well(tmp_path)


async def test_a_request_without_line_end_is_understood_when_the_sender_closes(
    tmp_path: Path, verbs: Verbs
) -> None:
    assert await answer_to(tmp_path, b'{"verb": "echo"}') == {"result": {"verb": "echo"}}


async def test_a_line_of_ten_megabytes_is_cut_off(tmp_path: Path, verbs: Verbs) -> None:
    answer = await answer_to(tmp_path, b"x" * 10_000_000 + b"\n")
    assert answer == {} or "not understood" in str(answer["error"])
    await still_well(tmp_path)


async def test_a_request_just_under_the_limit_is_taken(tmp_path: Path, verbs: Verbs) -> None:
    request = {"verb": "echo", "text": "x" * (MAX_REQUEST - 100)}
    assert await asked(tmp_path, request) == request


async def test_one_of_a_hundred_connections_is_told_that_there_are_too_many(
    tmp_path: Path, verbs: Verbs
) -> None:
    idle = [await asyncio.open_unix_connection(str(tmp_path / NAME)) for _ in range(100)]
    async with asyncio.timeout(5):
        told = [await reader.read() for reader, _ in idle[MAX_CONNECTIONS:]]
    assert set(told) == {b'{"error":"too many connections, try again"}\n'}
    with pytest.raises(ValueError, match="too many"):
        await asked(tmp_path, {"verb": "echo"})
    for _, writer in idle:
        writer.close()
    async with asyncio.timeout(5):
        while True:
            try:
                await still_well(tmp_path)
                break
            except ValueError:
                await asyncio.sleep(0.01)


async def test_who_connects_and_says_nothing_is_hung_up_on(
    tmp_path: Path, verbs: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DEADLINE_S", 0.05)
    for start in (b"", b'{"verb": '):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
        writer.write(start)
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        writer.close()
    await still_well(tmp_path)


@pytest.mark.both_loops
async def test_who_does_not_read_the_answer_is_hung_up_on_and_the_answer_forgotten(
    tmp_path: Path,
    verbs: Verbs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "gateway.control")
    monkeypatch.setattr(control, "DEADLINE_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / NAME), limit=1000)
    writer.write(b'{"verb": "big"}\n')
    got = 0
    async with asyncio.timeout(5):
        while not caplog.records:  # it says when it gives up
            await asyncio.sleep(0.01)
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                got += len(chunk)
    writer.close()
    assert got < 4_000_000
    await still_well(tmp_path)


async def test_who_hangs_up_before_the_answer_hurts_nobody(tmp_path: Path, verbs: Verbs) -> None:
    for verb in ("wait", "big", "echo"):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / NAME))
        writer.write(b'{"verb": "%s"}\n' % verb.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    verbs.release.set()
    await still_well(tmp_path)


async def test_the_end_of_the_daemon_ends_what_is_being_answered(tmp_path: Path) -> None:
    verbs = Verbs()
    async with verbs.served(tmp_path):
        idle = await asyncio.open_unix_connection(str(tmp_path / NAME))
        busy = await asyncio.open_unix_connection(str(tmp_path / NAME))
        busy[1].write(b'{"verb": "wait"}\n')
        async with asyncio.timeout(2):
            while not verbs.running:
                await asyncio.sleep(0.001)
    assert verbs.ended == 1
    for reader, writer in (idle, busy):
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        writer.close()
    assert not (tmp_path / NAME).exists()


async def test_only_the_owner_and_the_group_may_use_the_socket(
    tmp_path: Path, verbs: Verbs
) -> None:
    mode = (tmp_path / NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


AS_SOMEBODY = """
import os, sys
sys.path.insert(0, {root!r})
from gateway.ask import ask
from pathlib import Path
os.setgroups({groups})
os.setgid({gid})
os.setuid({uid})
for verb in ("echo", "bug"):
    try:
        print(verb, ask(Path({directory!r}), {{"verb": verb}}, 5.0))
    except (ConnectionError, ValueError) as error:
        print(verb, "refused", error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize(
    ("groups", "sees", "does"),
    [([], False, False), ([4001], True, False), ([4001, 4002], True, True)],
)
async def test_who_may_open_the_socket_may_look_and_operators_may_change(
    tmp_path_factory: pytest.TempPathFactory, groups: list[int], *, sees: bool, does: bool
) -> None:
    """Group 4001 is that of the socket, 4002 that of operators; uid 4242 is nobody's."""
    directory = Path(mkdtemp(dir="/tmp"))
    one = Verbs()
    access = Access({"echo"}, lambda: 4002)
    try:
        async with serve(directory, {"echo": one.echo, "bug": one.echo}, access):
            os.chown(directory, 0, 4001)
            directory.chmod(0o750)
            os.chown(directory / NAME, 0, 4001)
            code = AS_SOMEBODY.format(root=str(Path.cwd()), groups=groups, gid=4242, uid=4242, directory=str(directory))  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
            )
            said = (await process.communicate())[0].decode().splitlines()
    finally:
        shutil.rmtree(directory)
    assert ["refused" not in line for line in said] == [sees, does], said
    if sees and not does:
        assert "you may look, not change" in said[1]
    assert set(one.uids) <= {4242}


@pytest.mark.parametrize("stale", ["socket", "file"])
async def test_what_a_killed_daemon_left_is_replaced(tmp_path: Path, stale: str) -> None:
    if stale == "file":
        (tmp_path / NAME).touch()
    else:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / NAME))
    async with Verbs().served(tmp_path):
        await still_well(tmp_path)


@pytest.mark.parametrize("name", ["d" * 200, "玉华苑一号网关" * 6])
async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    async with Verbs().served(directory):
        assert (directory / NAME).exists()
        await still_well(directory)
    assert not (directory / NAME).exists()
