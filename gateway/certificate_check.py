"""Whether certificate files can be used, without asking the peer: TLS with ourselves, in memory."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from gateway.document import Document
from gateway.endpoint import MqttEndpoint
from gateway.errors import Problem
from gateway.settings import Section

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (OpenSSL, x509_vfy.h).
DATES = {9: "is not valid yet", 10: "has expired"}


class HasSection(Protocol):
    @property
    def section(self) -> Section: ...


def doubts(
    document: Document, links: Mapping[str, HasSection], upstream: Mapping[str, Section]
) -> Iterator[Problem]:
    """Certificates of links and upstreams that cannot be used."""
    sections: list[tuple[str, str, Section]] = [
        *(("links", name, link.section) for name, link in links.items()),
        *(("upstream", name, section) for name, section in upstream.items()),
    ]
    for part, name, section in sections:
        if isinstance(section, MqttEndpoint):
            for key, what, fix in certificate_faults(section):
                yield document.problem((part, name, key), what, fix)


def certificate_faults(endpoint: MqttEndpoint) -> Iterator[tuple[str, str, str]]:
    """(key, what is wrong, how to mend it). Reads the files; a few milliseconds each."""
    if endpoint.ca is not None:
        what = _authority(endpoint.ca)
        if what:
            yield "ca", what, "write the name of a PEM file with the certificate of the authority"
    if endpoint.client_cert is not None and endpoint.client_key is not None:
        for key, path in (
            ("client_cert", endpoint.client_cert),
            ("client_key", endpoint.client_key),
        ):
            if not path.is_file():
                yield key, f"{path} does not exist", "create it or correct the name"
                return
        yield from _pair(endpoint.client_cert, endpoint.client_key)


def _authority(path: Path) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # ssl.SSLError is one
        return f"{path} cannot be used: {error.strerror or error}"
    return ""


def _pair(certificate: Path, key: Path) -> Iterator[tuple[str, str, str]]:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    peer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    peer.verify_mode = ssl.CERT_REQUIRED
    peer.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it trusts this very certificate
    try:
        ours.load_cert_chain(certificate, key)
        peer.load_cert_chain(certificate, key)
        peer.load_verify_locations(certificate)
    except ssl.SSLError as error:
        fits = "KEY_VALUES_MISMATCH" not in (error.reason or "")
        what = f"cannot be used: {error.reason}" if fits else "does not belong to client_key"
        yield "client_cert", f"{certificate} {what}", "use the certificate and the key of one pair"
        return
    except OSError as error:
        yield (
            "client_key",
            f"{error.filename or key}: {error.strerror}",
            "make it readable for the gateway",
        )
        return
    what = DATES.get(_verdict(ours, peer), "")
    if what:
        yield "client_cert", f"{certificate} {what}", "renew it, or set the clock"


def _verdict(ours: ssl.SSLContext, peer: ssl.SSLContext) -> int:
    """Why the peer refuses our certificate, as OpenSSL numbers it; 0: it does not."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = ours.wrap_bio(back, there), peer.wrap_bio(there, back, server_side=True)
    for _ in range(4):  # TLS 1.3 takes two turns
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_code
    return 0
