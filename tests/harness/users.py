"""A Mosquitto that lets in who has a password, with the access list that the gateway makes."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from pydantic import SecretStr

from gateway.cli.main import main
from gateway.mqtt import Connection, Subscription, Will, connect
from tests.harness.broker import Mosquitto, password_line
from tests.harness.clock import FakeClock
from tests.harness.mqtt import endpoint

PASSWORD = "correct horse"


def made(config: Path, folder: Path) -> Path:
    """Run `gateway mosquitto-config`; returns the access list."""
    assert main(["mosquitto-config", str(config), "--output", str(folder)]) == 0
    return folder / "mosquitto.acl"


def guarded(folder: Path, acl: Path, users: Sequence[str], port: int = 0) -> Mosquitto:
    """As the shipped file says it: no one without a password, the client id is the user name."""
    folder.mkdir(parents=True, exist_ok=True)
    passwords = folder / "passwd"
    passwords.write_text("".join(password_line(user, PASSWORD) for user in users))
    lines = [
        "allow_anonymous false", f"password_file {passwords}", f"acl_file {acl}",
        "use_username_as_clientid true",
    ]  # fmt: skip
    return Mosquitto(folder, lines, port)


def client(
    broker: Mosquitto,
    user: str,
    *topics: str,
    will: Will | None = None,
    password: str | None = PASSWORD,
) -> AbstractAsyncContextManager[Connection]:
    """Connected as `user`, or without a name if `password` is None."""
    login = {} if password is None else {"username": user, "password": SecretStr(password)}
    return connect(
        endpoint(broker.url, **login), client_id=user, clock=FakeClock(), will=will,
        subscriptions=[Subscription(topic) for topic in topics],
    )  # fmt: skip
