"""Runs the test of a promise with a part of the gateway sabotaged: it has to turn red, and at the right line."""

import asyncio
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from tests.harness.sabotage_mqtt import Put

# How a test fails. Anything else is a sabotage that is broken itself.
RED = (AssertionError, TimeoutError, pytest.fail.Exception, BaseExceptionGroup)


class Tooth(NamedTuple):
    """With `sabotage`, the test `guard` fails at a line of its file that has `line` in it.

    `given` are parameters of the guard; a test that is not a coroutine gets all of its own.
    """

    sabotage: Callable[[Put], None]
    guard: Callable[..., Any]
    line: str
    given: Mapping[str, object] = {}

    def __str__(self) -> str:
        return self.sabotage.__name__


def bite(tooth: Tooth, put: Put, **fixtures: object) -> None:
    """A guard that owns its loop, or needs none."""
    tooth.sabotage(put)
    with _red(tooth):
        for arguments in _variants(tooth):
            result = tooth.guard(**_wanted(tooth, fixtures), **arguments)
            if inspect.iscoroutine(result):
                asyncio.run(result)


async def bite_within(seconds: float, tooth: Tooth, put: Put, **fixtures: object) -> None:
    """A guard that waits in vain is red after so long; without the sabotage it needs far less."""
    tooth.sabotage(put)
    with _red(tooth):
        async with asyncio.timeout(seconds):
            await tooth.guard(**_wanted(tooth, fixtures), **tooth.given)


def _wanted(tooth: Tooth, fixtures: Mapping[str, object]) -> dict[str, object]:
    names = inspect.signature(tooth.guard).parameters
    return {name: fixture for name, fixture in fixtures.items() if name in names}


def _variants(tooth: Tooth) -> list[dict[str, object]]:
    """What `pytest.mark.parametrize` says, unless the tooth gives it."""
    found: list[dict[str, object]] = [dict(tooth.given)]
    for mark in getattr(tooth.guard, "pytestmark", []):
        if mark.name == "parametrize" and not tooth.given:
            names = mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0]
            rows = [row if len(names) > 1 else [row] for row in mark.args[1]]
            found = [{**one, **dict(zip(names, row, strict=True))} for one in found for row in rows]
    return found


@contextmanager
def _red(tooth: Tooth) -> Iterator[None]:
    try:
        yield
    except RED as error:
        lines = [frame.line or "" for one in _all(error) for frame in _frames(tooth, one)]
        assert any(tooth.line in line for line in lines), f"{tooth} is red elsewhere: {lines}"
    else:
        pytest.fail(f"{tooth.guard.__name__} stays green with {tooth}")


def _all(error: BaseException) -> Iterator[BaseException]:
    """The error, what it is made of, and what it came from."""
    yield error
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _all(one)
    if error.__cause__ is not None:
        yield from _all(error.__cause__)


def _frames(tooth: Tooth, error: BaseException) -> list[traceback.FrameSummary]:
    found = traceback.extract_tb(error.__traceback__)
    return [frame for frame in found if frame.filename == inspect.getfile(tooth.guard)]
