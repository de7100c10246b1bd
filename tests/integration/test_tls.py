"""Peers that TLS must not let us speak to, each refused with its reason and never in plain text."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.errors import LinkDown, Refused
from gateway.mqtt import connect
from tests.harness.certificates import make
from tests.harness.clock import FakeClock
from tests.harness.mqtt import endpoint

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")


class Peer(NamedTuple):
    """What a server shows, what we trust and show, and what the refusal says."""

    pair: str = "localhost"
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ca: str = "ca"
    shown: str = ""
    says: str = ""


PEERS = {
    "expired": Peer("expired/localhost", says="certificate has expired"),
    "of a stranger": Peer("foreign/localhost", says="unable to get local issuer"),
    "for another name": Peer("elsewhere", says="Hostname mismatch"),
    "trusted by nobody": Peer(ca="stranger", says="unable to get local issuer|self-signed"),
    "TLS 1.1": Peer(newest=ssl.TLSVersion.TLSv1_1, says="(?i)protocol"),
    "our key is another one's": Peer(shown="mixed", says="(?i)key values mismatch"),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    script = """
    ca ca; ca stranger; pair localhost ca; pair elsewhere ca; pair client ca
    cp client.crt mixed.crt; cp localhost.key mixed.key
    mkdir expired foreign; cp ca.* expired; cp stranger.* foreign
    (cd expired; DAYS=-1 pair localhost ca); (cd foreign; pair localhost stranger)
    """
    asyncio.run(make(folder, script))
    return folder


@asynccontextmanager
async def served(folder: Path, peer: Peer, heard: list[bytes]) -> AsyncIterator[int]:
    """A TLS server that notes what it hears and never answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = peer.newest
    context.load_cert_chain(folder / f"{peer.pair}.crt", folder / f"{peer.pair}.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("name", PEERS)
async def test_a_peer_that_cannot_prove_itself_hears_nothing(name: str, certificates: Path) -> None:
    peer, heard = PEERS[name], list[bytes]()
    pair = {}
    if peer.shown:
        pair = {kind: f"{certificates}/{peer.shown}.{end}" for kind, end in
                (("client_cert", "crt"), ("client_key", "key"))}  # fmt: skip
    async with served(certificates, peer, heard) as port:
        there = endpoint(f"mqtts://localhost:{port}", ca=f"{certificates}/{peer.ca}.crt", **pair)
        with pytest.raises((Refused, LinkDown), match=peer.says):
            async with connect(there, client_id="gw", clock=FakeClock()):
                pass
    assert heard == []


async def test_a_peer_that_proves_itself_hears_us(certificates: Path) -> None:
    """So that silence above means refusal."""
    heard = list[bytes]()
    async with served(certificates, Peer(), heard) as port:
        there = endpoint(f"mqtts://localhost:{port}", ca=f"{certificates}/ca.crt")
        with pytest.raises(LinkDown):
            async with connect(there, client_id="gw", clock=FakeClock()):
                pass
    assert heard[0].startswith(b"\x10"), "CONNECT"
