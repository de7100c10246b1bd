"""TLS of one peer: contexts made from certificate files, and new files that are tried before use."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Any, NamedTuple

from gateway.endpoint import MqttEndpoint, MqttUrl
from gateway.errors import Refused

CONNECT_S = 5.0
VERDICT_S = 1.0  # a TLS 1.3 peer judges our certificate after the handshake (RFC 8446, 4.4.2.4)


class Context(ssl.SSLContext):
    """Remembers its socket: paho forgets to close it when the handshake fails."""

    sock: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        self.sock = super().wrap_socket(*args, **options)
        return self.sock


def context(endpoint: MqttEndpoint) -> Context:
    """From the files as they are now. Raises Refused, which names them."""
    made = Context(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if endpoint.ca is None:
            made.load_default_certs()
        else:
            made.load_verify_locations(endpoint.ca)
        if endpoint.client_cert is not None:
            made.load_cert_chain(endpoint.client_cert, endpoint.client_key)
    except OSError as error:
        names = ", ".join(str(path) for path in _files(endpoint))
        raise Refused(f"certificate files {names}: {error}") from error
    return made


# X509_V_FLAG_NO_CHECK_TIME (openssl/x509_vfy.h): chain and host name are checked, dates are not.
_NO_CHECK_TIME = 0x200000


def dateless(endpoint: MqttEndpoint) -> Context:
    """As `context`, for a gateway that does not know what day it is. Raises Refused."""
    made = context(endpoint)
    made.verify_flags |= _NO_CHECK_TIME
    return made


class Verdict(NamedTuple):
    """`renewed`: connect again. `complaint`: why new files are not used, "" if nothing is wrong."""

    renewed: bool
    complaint: str = ""


class Certificates:
    """What was good stays in use until something better has been tried.

    `context` is None before the first `look` and without TLS. New files are tried with a handshake
    beside the connection that works; files that cannot be read, do not fit each other or are
    refused change nothing.
    """

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self.context: Context | None = None
        self._endpoint = endpoint
        self._used: object = None  # stamps of the files in use
        self._judged: object = None  # stamps of files that were found wrong
        self._seen: object = None
        self._complaint = ""
        self._lock = threading.Lock()  # a look that was cancelled goes on in its thread

    def look(self, *, settled: bool = False) -> Verdict:
        """Use changed files if they are good; blocks for up to 6 s, so call it in a thread.

        Unless `settled`, files count only when they have not changed since the look before: a pair
        is not written in one go. Raises Refused only if there are none that were ever good.
        """
        if not self._endpoint.url.tls:
            return Verdict(renewed=False)
        with self._lock:
            return self._look(settled=settled)

    def _look(self, *, settled: bool) -> Verdict:
        stamps = _stamps(self._endpoint)
        quiet, self._seen = settled or stamps == self._seen, stamps
        if self.context is None:
            self.context, self._used = context(self._endpoint), stamps
        elif stamps == self._used:
            self._complaint = ""
        elif quiet and stamps != self._judged:
            return self._judge(stamps)
        return Verdict(renewed=False, complaint=self._complaint)

    def doubt(self) -> None:
        """The peer refuses what is in use: judge files again that were found wrong before."""
        self._judged = None

    def _judge(self, stamps: object) -> Verdict:
        try:
            made = context(self._endpoint)
            tried = _accepted(made, self._endpoint.url)
        except (Refused, ssl.SSLError) as error:
            self._judged, self._complaint = stamps, f"new certificate files are not used: {error}"
        else:
            if tried:
                self.context, self._used, self._complaint = made, stamps, ""
            return Verdict(renewed=tried)
        return Verdict(renewed=False, complaint=self._complaint)


def _accepted(made: Context, url: MqttUrl) -> bool:
    """Whether the peer takes it; False: it cannot be asked now. Raises ssl.SSLError: it does not."""
    try:
        with (
            socket.create_connection((url.host, url.port), CONNECT_S) as plain,
            made.wrap_socket(plain, server_hostname=url.host) as secure,
        ):
            return _waits(secure)
    except ssl.SSLError:
        raise
    except OSError:
        return False
    finally:
        made.sock = None


def _waits(secure: ssl.SSLSocket) -> bool:
    """The peer is silent after the handshake: it waits for us to speak."""
    secure.settimeout(VERDICT_S)
    try:
        return secure.recv(1) != b""
    except TimeoutError:
        return True


def _files(endpoint: MqttEndpoint) -> list[Path]:
    return [path for path in (endpoint.ca, endpoint.client_cert, endpoint.client_key) if path]


def _stamps(endpoint: MqttEndpoint) -> tuple[tuple[int, int, int] | None, ...]:
    """What changes with a file's content: time, size, inode; None for one that is not there."""
    found: list[tuple[int, int, int] | None] = []
    for path in _files(endpoint):
        try:
            stat = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
