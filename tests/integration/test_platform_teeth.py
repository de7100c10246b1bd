"""Teeth: with a part of the upstream or of the way back sabotaged, the test of its promise turns red."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import Mosquitto
from tests.harness.site import Site, site
from tests.harness.teeth import Tooth, bite_within
from tests.integration import test_downlink as downlink
from tests.integration import test_upstream as upstream
from tests.integration import test_upstream_refusals as refusals

PARKING = [
    Tooth(sabotage.never_park, refusals.test_a_quota_that_is_exceeded_for_a_while_parks_the_lane_and_loses_nothing, "place.told"),
    Tooth(sabotage.park_in_silence, refusals.test_a_quota_that_is_exceeded_for_a_while_parks_the_lane_and_loses_nothing, "place.told"),
    Tooth(sabotage.bury_the_batch, refusals.test_a_single_message_that_the_broker_never_takes_is_found_and_put_aside, "== 645"),
]  # fmt: skip
BOOKS = [
    Tooth(one, refusals.test_the_books_have_each_byte_that_was_written_to_the_line, "books == written")
    for one in (sabotage.count_payloads, sabotage.count_once, sabotage.one_book_for_all)
]  # fmt: skip
ORDER = [
    Tooth(sabotage.nobody_waits_for_alarms, upstream.test_lane_0_goes_first_and_the_others_share_by_weight, "order[others:]"),
    Tooth(sabotage.samples_before_events, upstream.test_lane_0_goes_first_and_the_others_share_by_weight, "8 to 4 of 9"),
]  # fmt: skip
LATE, LIMIT = "a day too late", downlink.test_a_flood_is_cut_down_and_told_in_two_lines
COMMANDS = [
    Tooth(sabotage.never_too_late, downlink.test_whatever_is_wrong_with_a_command_it_is_refused_answered_and_audited, "(outcome, True)", {"name": LATE}),
    Tooth(sabotage.kept_is_live, downlink.test_a_retained_command_is_refused, '"refused", True)'),
    Tooth(sabotage.no_memory_of_commands, downlink.test_repeats_are_answered_with_the_first_outcome_and_not_done_again, '("refused", "confirmed")'),
    Tooth(sabotage.as_many_as_they_like, LIMIT, "== 7"),
]  # fmt: skip


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path / "state") as one:
        yield one


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "another") as one:
        yield one


@pytest.mark.parametrize("tooth", [*PARKING, *BOOKS, *ORDER], ids=str)
async def test_teeth_of_parking_metering_and_the_order_of_lanes(
    tooth: Tooth, tmp_path: Path, place: Site, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "platform.jsonl"
    given = {
        "tmp_path": tmp_path,
        "place": place,
        "broker": broker,
        "log": log,
        "monkeypatch": monkeypatch,
    }
    await bite_within(15, tooth, monkeypatch.setattr, **given)


@pytest.mark.parametrize("tooth", COMMANDS, ids=str)
async def test_teeth_of_what_a_platform_may_command(
    tooth: Tooth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bite_within(15, tooth, monkeypatch.setattr, tmp_path=tmp_path)


async def test_teeth_a_lane_that_is_never_tried_again_is_noticed(
    tmp_path: Path, place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = refusals.test_a_quota_that_is_exceeded_for_a_while_parks_the_lane_and_loses_nothing
    tooth = Tooth(sabotage.park_for_ever, guard, "far.items == 60")
    await bite_within(2.5, tooth, monkeypatch.setattr, tmp_path=tmp_path, place=place)
