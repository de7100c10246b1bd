"""The v2 API of organizations, buckets, mappings and tasks, as the documentation has it: a script, no InfluxDB."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.harness.influx import ORG, TOKEN, served

ADMIN = "admin-t0ken"


class V2:
    """`made`: what was posted, by resource. Only ADMIN may make anything."""

    def __init__(self) -> None:
        self.made: dict[str, list[dict[str, Any]]] = {"buckets": [], "dbrps": [], "tasks": []}

    async def get(self, request: web.Request) -> web.StreamResponse:
        what, query = request.match_info["what"], request.query
        if what == "orgs":
            found = [{"id": "0rg", "name": ORG}] if query["org"] == ORG else []
            return web.json_response({"orgs": found})
        assert query.get("orgID") == "0rg" or query.get("org") == ORG
        if what == "dbrps":
            known = [x for x in self.made[what] if x["database"] == query["db"]]
            return web.json_response({"content": known})
        known = [x for x in self.made[what] if x["name"] == query["name"]]
        if what == "buckets" and not known:  # 2.x answers so when it filters by name
            return web.json_response(
                {"code": "not found", "message": "bucket not found"}, status=404
            )
        return web.json_response({what: known})

    async def post(self, request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != f"Token {ADMIN}":
            said = {"code": "unauthorized", "message": "write:orgs/0rg/buckets is unauthorized"}
            return web.json_response(said, status=401)
        what, body = request.match_info["what"], await request.json()
        assert body["orgID"] == "0rg"
        if what == "tasks":  # 2.x reads the name out of the script
            body["name"] = body["flux"].split('{name: "', 1)[1].split('"', 1)[0]
        body["id"] = f"{what}-{len(self.made[what])}"
        self.made[what].append(body)
        return web.json_response(body, status=201)


@asynccontextmanager
async def v2() -> AsyncIterator[tuple[V2, int]]:
    one = V2()
    app = web.Application()
    app.add_routes([web.get("/api/v2/{what}", one.get), web.post("/api/v2/{what}", one.post)])
    async with served(app) as port:
        yield one, port


__all__ = ["ADMIN", "TOKEN", "V2", "v2"]
