"""A real InfluxDB 1.6.7 (Debian's `influxdb`) in a process of its own, on loopback. Blocking calls.

Its storage engine is the one of the 2.x line: type conflicts, overwriting of the same point, a log
that is synchronized before a write is answered.
"""

import http.client
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.harness.ports import free_ports

BINARY = shutil.which("influxd") or "/usr/bin/influxd"
needs_influxd = pytest.mark.skipif(
    not Path(BINARY).exists(), reason="influxd is not installed: apt-get install influxdb"
)
DATABASE = "iot"
READY_S = 10.0


class Influxd:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._rpc = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers; makes the database."""
        settings = {
            "HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}", "BIND_ADDRESS": f"127.0.0.1:{self._rpc}",
            "DATA_DIR": self.folder / "data", "DATA_WAL_DIR": self.folder / "wal",
            "META_DIR": self.folder / "meta", "REPORTING_DISABLED": "true",
            "MONITOR_STORE_ENABLED": "false", "HTTP_LOG_ENABLED": "false",
        }  # fmt: skip
        environment = os.environ | {f"INFLUXDB_{key}": str(v) for key, v in settings.items()}
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-config", "/dev/null"], env=environment, stdout=log, stderr=log
            )
        end = time.monotonic() + READY_S
        while True:
            try:
                self.query(f"CREATE DATABASE {DATABASE}", post=True)
                return
            except OSError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: it flushes nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def write(self, body: bytes) -> tuple[int, bytes]:
        return self._ask("POST", f"/write?db={DATABASE}&precision=n", body)

    def query(self, text: str, *, post: bool = False) -> list[dict[str, Any]]:
        """Rows as columns, tags among them; times are ns."""
        query = urlencode({"db": DATABASE, "epoch": "ns", "q": text})
        status, answer = self._ask("POST" if post else "GET", f"/query?{query}")
        (result,) = json.loads(answer)["results"]
        assert status == 200, answer
        assert "error" not in result, answer
        return [
            dict(zip(one["columns"], row, strict=True))
            for one in result.get("series", [])
            for row in one["values"]
        ]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
