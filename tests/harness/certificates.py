"""Certificates of our own, made by openssl(1)."""

import asyncio
from asyncio.subprocess import DEVNULL
from pathlib import Path

_FUNCTIONS = """
ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=$1 -addext keyUsage=critical,keyCertSign,cRLSign -keyout $1.key -out $1.crt; }
pair() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$1 \
    -keyout $1.key -out $1.csr && echo "subjectAltName=DNS:$1" > $1.ext &&
    openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -CAcreateserial -days ${DAYS:-2} \
    -extfile $1.ext -out $1.crt; }
set -e
"""


async def make(directory: Path, script: str) -> None:
    """Files NAME.crt and NAME.key: `ca NAME` signs itself, `pair NAME CA` is signed by that one."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", _FUNCTIONS + script, cwd=directory, stdout=DEVNULL, stderr=DEVNULL
    )
    assert await process.wait() == 0
