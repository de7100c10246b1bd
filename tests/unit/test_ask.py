"""The asking end of the control socket: what it says of a daemon that is gone, silent or not ours."""

import socket
from pathlib import Path
from threading import Thread

import pytest

from gateway import ask as asking
from gateway import control
from gateway.ask import NAME, Peer, ask
from tests.unit.test_control import Verbs, asked, still_well


def test_without_a_daemon_the_error_says_so(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing", tmp_path / ("d" * 200)):
        with pytest.raises(ConnectionError, match="no gateway runs in"):
            ask(directory, {"verb": "status"}, 1)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / NAME))
    with pytest.raises(ConnectionError, match="no gateway runs in"):
        ask(tmp_path, {"verb": "status"}, 1)


def test_a_daemon_that_does_not_answer_is_a_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as blocked:
        blocked.bind(str(tmp_path / NAME))
        blocked.listen(1)
        with pytest.raises(TimeoutError):
            ask(tmp_path, {"verb": "status"}, 0.05)


def test_a_daemon_whose_queue_of_connections_is_full_is_a_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as blocked:
        blocked.bind(str(tmp_path / NAME))
        blocked.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        try:
            waiting[0].connect(str(tmp_path / NAME))
            with pytest.raises(TimeoutError):
                ask(tmp_path, {"verb": "status"}, 0.05)
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize("said", [b"", b'{"result": {"health"', b'{"result": 1}'])
def test_an_answer_that_is_cut_off_is_a_lost_connection(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(tmp_path / NAME))
        dying.listen(1)

        def die() -> None:
            connection, _ = dying.accept()
            connection.recv(65536)
            connection.sendall(said)
            connection.close()

        thread = Thread(target=die)
        thread.start()
        try:
            with pytest.raises(ConnectionError, match="ended the connection"):
                ask(tmp_path, {"verb": "status"}, 1)
        finally:
            thread.join()


async def test_where_no_file_can_be_made_root_and_the_own_user_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> socket.socket:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(control, "_bind", fail)
    async with Verbs().served(tmp_path):
        assert not (tmp_path / NAME).exists()
        await still_well(tmp_path)
        for end in (control, asking):
            monkeypatch.setattr(end, "peer_of", lambda _sock: Peer(12_345, frozenset()))
        with pytest.raises(ConnectionError, match="no gateway runs"):  # another user has the name
            await asked(tmp_path, {"verb": "echo"})
        monkeypatch.setattr(asking, "_connect_abstract", connect_without_looking)
        with pytest.raises(ValueError, match="only root"):
            await asked(tmp_path, {"verb": "echo"})
    monkeypatch.undo()
    with pytest.raises(ConnectionError, match="no gateway runs"):
        await asked(tmp_path, {"verb": "echo"})


def connect_without_looking(sock: socket.socket, directory: Path) -> bool:
    sock.connect(asking.abstract(directory))
    return True


async def test_a_socket_file_that_went_with_its_card_is_no_loss(tmp_path: Path) -> None:
    async with Verbs().served(tmp_path):
        (tmp_path / NAME).unlink()
        await still_well(tmp_path)
