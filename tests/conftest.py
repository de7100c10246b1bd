"""Guards that watch every test. What they forbid is forbidden in the gateway too.

- no task may outlive its test, no call may block the event loop inside our own packages;
- warnings are errors, a bad log format fails the test, a test takes at most 20 s (pyproject.toml);
- `@pytest.mark.both_loops` runs a test on asyncio and on uvloop; the others run on asyncio;
- `make test` runs the files of tests two at a time, and then one by one those in
  `tests/integration` that are not in TOGETHER: `alone`;
- what Hypothesis draws is the same in every run, so that a change is judged by what it changes.
  `make chaos` draws anew.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from blockbuster import BlockBuster
from hypothesis import settings

INTEGRATION = Path(__file__).parent / "integration"
# Of tests/integration: they wait for facts, with time to spare, and do not measure. They mostly
# wait, for programs that start and disks, so two at a time take half as long.
TOGETHER = frozenset({
    "alarm_life", "asyncapi", "audit_daemon", "canary", "crash_loop", "dashboards",
    "doctor", "downlink_crash", "drill", "gateway", "gateway_self", "groups", "influx",
    "influx_commands", "influx_engine", "influx_victoria", "oracle",
    "profile_alarms", "release_papers", "release_switch", "reload", "reload_parts", "reload_wrong",
    "report", "rules_daemon", "rules_replay", "spoof", "store_commands", "store_damage",
    "syscalls", "traces", "upstream", "watching",
})  # fmt: skip
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_loops: run on asyncio and on uvloop")
    settings.register_profile("repeatable", derandomize=True)
    if "chaos" not in str(config.getoption("-m")):
        settings.load_profile("repeatable")
    # A shell starts what runs in its background with SIGINT ignored, and programs inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    asyncio_only: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("both_loops"):
        return {**asyncio_only, "uvloop": uvloop.new_event_loop}
    return asyncio_only


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long fault runs are only for `make chaos`, which asks for them by name."""
    for item in items:
        name = item.path.stem.removeprefix("test_")
        if item.path.is_relative_to(INTEGRATION) and name not in TOGETHER:
            item.add_marker("alone")
    if "chaos" not in str(config.getoption("-m")):
        items[:] = [item for item in items if not item.get_closest_marker("chaos")]


@pytest.fixture(autouse=True)
def guard(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.Function) and asyncio.iscoroutinefunction(request.node.obj):
        request.getfixturevalue("no_orphans")
        request.getfixturevalue("nothing_blocks")


@pytest.fixture
async def no_orphans() -> AsyncIterator[None]:
    """An async fixture: a sync one never sees the loop and would check nothing."""
    before = asyncio.all_tasks()
    yield
    orphans = [t for t in asyncio.all_tasks() - before if t is not asyncio.current_task()]
    for task in orphans:
        task.cancel()
    assert not orphans, f"tasks left behind: {[t.get_name() for t in orphans]}"


@pytest.fixture
async def nothing_blocks() -> AsyncIterator[None]:
    buster = BlockBuster(["gateway", "drivers", "rules"])
    # `coverage run` takes a lock of its own on the event loop.
    buster.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
    buster.activate()
    yield
    buster.deactivate()


@pytest.fixture(autouse=True)
def log_formats_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handler: logging.Handler, record: logging.LogRecord) -> None:
        pytest.fail(f"bad log call in {record.pathname}:{record.lineno}: {record.msg!r}")

    monkeypatch.setattr(logging.Handler, "handleError", fail)
