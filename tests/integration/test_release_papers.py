"""The papers of a release: what it is made of, and what is known against that."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from release import audit, sbom
from release.deb import ROOT
from release.lock import read
from tests.harness.ports import free_port

LOCK = ROOT / "requirements.lock"


def test_the_bill_of_materials_names_every_package_once_with_licence_and_needs() -> None:
    told = json.loads(json.dumps(sbom.document(LOCK)))
    names = [part["name"] for part in told["components"]]
    assert names == [pin.name for pin in read(LOCK) if pin.on_linux]
    refs = {part["bom-ref"] for part in told["components"]} | {
        told["metadata"]["component"]["bom-ref"]
    }
    assert len(refs) == len(names) + 1
    needs = {one["ref"]: one["dependsOn"] for one in told["dependencies"]}
    assert needs.keys() == refs
    assert {need for found in needs.values() for need in found} <= refs
    (us,) = [ref for ref in refs if "/community-gateway@" in ref]
    assert any(ref.startswith("pkg:pypi/bleak@") for ref in needs[us]), "extras of the package too"
    without = [part["name"] for part in told["components"] if "licenses" not in part]
    assert without == []
    assert sbom.document(LOCK) == sbom.document(LOCK)


class Advisories:
    """A source of advisories that speaks OSV's query; `known` by package name."""

    def __init__(self, known: Mapping[str, str]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                names = [query["package"]["name"] for query in asked["queries"]]
                results = [{"vulns": [{"id": known[n]}]} if n in known else {} for n in names]
                body = json.dumps({"results": results}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(
        "".join(f"{n}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for n in ("good", "bad"))
    )
    return path


@pytest.fixture
def advisories() -> Iterator[Advisories]:
    one = Advisories({"bad": "GHSA-0000-0000-0001"})
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    yield one
    one.server.shutdown()
    one.server.server_close()
    thread.join()


def test_a_package_with_a_known_flaw_fails_the_audit(
    lock: Path, advisories: Advisories, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(["--source", advisories.url, str(lock)]) == audit.FLAWED
    text = capsys.readouterr().out
    assert "bad 1.0: https://osv.dev/vulnerability/GHSA-0000-0000-0001" in text
    assert "2 packages, 1 with known flaws" in text
    lock.write_text(lock.read_text().replace("bad", "fine"))
    assert audit.main(["--source", advisories.url, str(lock)]) == audit.CLEAN


def test_an_audit_that_could_not_ask_anybody_is_no_clean_one(
    lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert audit.main(["--source", nobody, str(lock)]) == audit.UNKNOWN
    assert "not audited" in capsys.readouterr().err
