"""`gateway schema`: what an editor needs to complete and check the files that people write."""

import argparse

import orjson

from gateway.schema import KINDS, schema

__all__ = ["KINDS", "run", "schema_text"]


def run(options: argparse.Namespace) -> int:
    print(schema_text(options.kind), end="")
    return 0


def schema_text(kind: str) -> str:
    return orjson.dumps(
        schema(kind), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    ).decode()
