import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.errors import BadData
from gateway.sinks.ack import parse_ack
from gateway.sinks.encode import MAX_PAYLOAD
from gateway.sinks.lane import Rate
from gateway.sinks.pace import Pace
from gateway.sinks.settings import UpstreamSection
from simulators.ledger import Json, Ledger, Received, arrivals
from tests.harness.clock import FakeClock

URL = "mqtt://127.0.0.1:1883"


def test_only_alarms_and_events_leave_the_compound_unless_the_file_says_more() -> None:
    section = UpstreamSection.model_validate({"url": URL})
    assert section.lanes == [0, 1]
    assert section.ack == "platform"
    assert UpstreamSection.model_validate({"url": URL, "lanes": [2, 0]}).lanes == [2, 0]


@pytest.mark.parametrize("lanes", [[4], [-1], [0, 0], [True], ["0"]])
def test_lanes_that_do_not_exist_or_repeat_are_refused(lanes: list[object]) -> None:
    with pytest.raises(ValidationError):
        UpstreamSection.model_validate({"url": URL, "lanes": lanes})


def test_an_ack_may_have_keys_that_we_do_not_know() -> None:
    ack = parse_ack(
        b'{"epoch":1,"lane":0,"seq":5,"new":1,"rejects":[{"seq":2,"reason":"no","x":1}]}'
    )
    assert (ack.epoch, ack.lane, ack.seq) == (1, 0, 5)
    assert [(r.seq, r.reason) for r in ack.rejects] == [(2, "no")]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"5", b"[]", b"{}", b"\xff", b'{"epoch":1,"lane":0}', b'{"epoch":1,"lane":0,"seq":"5"}',
        b'{"epoch":1,"lane":0,"seq":-1}', b'{"epoch":1,"lane":0,"seq":1.5}',
        b'{"epoch":1,"lane":0,"seq":5,"rejects":[5]}', b'{"epoch":1,"lane":0,"seq":1e400}',
        b"[" * 20_000,
    ],
)  # fmt: skip
def test_anything_that_is_no_ack_is_bad_data(payload: bytes) -> None:
    with pytest.raises(BadData):
        parse_ack(payload)


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = FakeClock()
    rate = Rate(clock)
    for _ in range(90):
        rate.add(3)
        rate.add(3)
        clock.advance(1)
    assert rate.per_s() == pytest.approx(6, rel=0.03)
    clock.advance(61)
    assert rate.per_s() == 0


def test_batches_shrink_on_a_slow_link_and_grow_again_on_a_fast_one() -> None:
    pace = Pace()
    for _ in range(10):
        pace.took(3)
    assert pace.size == 4_000
    pace.took(1)
    assert pace.size == 4_000
    for _ in range(10):
        pace.took(0.1)
    assert pace.size == MAX_PAYLOAD
    pace.failed()
    assert pace.size == MAX_PAYLOAD // 2


def test_the_ledger_knows_up_to_where_nothing_is_missing() -> None:
    received = Received(base=5)
    reached = [received.contiguous]
    for span in ((8, 9), (5, 6), (7, 7)):
        received.add([span])
        reached.append(received.contiguous)
    assert reached == [None, None, 6, 9]
    assert received.spans == [(5, 9)]


def batch(first: int, last: int, **more: object) -> Json:
    items = [{"seq": s, "event_id": f"e{s}"} for s in range(first, last + 1)]
    return {"epoch": 1, "lane": 0, "base": 1, "gaps": [], "items": items, **more}


def keep(ledger: Ledger, log: Path, content: Json, refused: str = "") -> object:
    answer = ledger.take(content, lambda item: "no" if item["event_id"] == refused else None)
    with log.open("ab") as file:
        file.write(answer.lines)
    return answer.ack


def test_the_ledger_acknowledges_deduplicates_rejects_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    ledger = Ledger(log)
    assert keep(ledger, log, batch(3, 4)) is None
    assert keep(ledger, log, batch(2, 3, gaps=[[1, 1, "evicted"]])) == {
        "epoch": 1,
        "lane": 0,
        "seq": 4,
    }
    ack = keep(ledger, log, batch(5, 6), refused="e5")
    assert ack == {"epoch": 1, "lane": 0, "seq": 6, "rejects": [{"seq": 5, "reason": "no"}]}
    with log.open("ab") as file:
        file.write(b'{"lane":0,"epo')  # a crash in the middle of a line
    again = Ledger(log)
    assert list(again.acks()) == [{"epoch": 1, "lane": 0, "seq": 6}]
    assert (again.items, again.duplicates, again.rejected) == (4, 1, 1)
    keep(again, log, batch(6, 7))
    assert [item["seq"] for item in arrivals(log)] == [3, 4, 2, 6, 7]
    assert json.loads(log.read_bytes().splitlines()[-1])["batch"]["received"] == [[6, 7]]


def test_a_platform_without_memory_begins_behind_what_was_acknowledged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert keep(Ledger(log), log, batch(101, 110, acked=100)) == {"epoch": 1, "lane": 0, "seq": 110}
