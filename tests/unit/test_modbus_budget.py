"""What a bus needs for its polls, in numbers that can be checked by hand."""

from typing import Any

import pytest

from drivers.modbus.budget import ANSWER_S, Budget, check_time, worded_s
from drivers.modbus.settings import ModbusLink
from gateway.driver import Device
from gateway.profile import Profile
from tests.harness.modbus import SDM120, SDM630, device

TEN = {"fast": "10s", "slow": "1m"}


def serial(**keys: Any) -> ModbusLink:
    section = {"driver": "modbus", "transport": "rtu", "path": "/dev/ttyS0", **keys}
    return ModbusLink.model_validate(section)


def meters(count: int, poll: object = TEN, profile: Profile = SDM120) -> list[Device]:
    return [device(f"m-{n}", profile, n, poll) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("keys", "bits"), [({}, 10), ({"parity": "E"}, 11), ({"parity": "O"}, 11), ({"stop": 2}, 11)]
)
def test_a_request_costs_its_characters_the_answer_time_and_the_pause(
    keys: dict[str, Any], bits: int
) -> None:
    budget = Budget(serial(baud=9600, **keys), meters(1))
    [request] = budget.requests("m-1")[10.0]
    characters = 8 + 5 + 2 * 14  # request, frame of the answer, 14 registers
    expected = characters * bits / 9600 + ANSWER_S["rtu"] + SDM120.limits.pause
    assert request.cost_s == pytest.approx(expected)


def test_the_silence_between_frames_counts_where_the_profile_asks_for_less() -> None:
    quick = SDM120.model_copy(update={"limits": SDM120.limits.model_copy(update={"pause": 0.001})})
    slow = Budget(serial(baud=1200), meters(1, profile=quick)).requests("m-1")[10.0][0]
    assert slow.cost_s == pytest.approx(41 * 10 / 1200 + 0.03 + 3.5 * 10 / 1200)
    fast = Budget(serial(baud=38400), meters(1, profile=quick)).requests("m-1")[10.0][0]
    assert fast.cost_s == pytest.approx(41 * 10 / 38400 + 0.03 + 0.001_75)


def test_over_tcp_a_request_costs_a_round_trip() -> None:
    link = ModbusLink(driver="modbus", host="192.0.2.1")
    budget = Budget(link, meters(2))
    assert [r.cost_s for r in budget.requests("m-1")[60.0]] == [ANSWER_S["tcp"]] * 3
    measured = Budget(link, meters(2), {"m-2": 0.3})
    assert [r.cost_s for r in measured.requests("m-2")[60.0]] == [0.3] * 3


def test_a_cycle_holds_the_polls_of_its_period_and_a_share_of_the_longer_ones() -> None:
    budget = Budget(ModbusLink(driver="modbus", host="192.0.2.1"), meters(12), dict.fromkeys((f"m-{n}" for n in range(1, 13)), 0.01))  # fmt: skip
    fast, slow = budget.windows
    # 12 fast requests in 10 s; the 2 more of a slow poll are made by 2 of 12 devices in these 10 s
    assert (fast.period_s, fast.classes, fast.requests) == (10, ("fast",), 12 + 2 * 2)
    assert fast.needed_s == pytest.approx(0.16)
    assert (slow.period_s, slow.requests) == (60, 12 * (5 * 1 + 3))
    assert slow.margin_s == pytest.approx(60 - 0.96)
    assert budget.load == pytest.approx(0.016)
    assert budget.first.requests == 36
    assert budget.first.cost_s == pytest.approx(0.36)
    assert budget.short is None


def test_two_alike_requests_on_a_line_have_a_third_between_them() -> None:
    points = [{"id": f"a.p{n}", "at": 100 * n} for n in range(2)]
    both = [{"id": "a.q", "at": 300}, {"id": "a.r", "at": 301}]
    spread = Profile.model_validate({
        "profile": "p", "type": "t", "facility": "pipes", "protocol": "modbus", "sources": ["x"],
        "status": "code", "defaults": {"at": {"table": "holding", "type": "f32"}},
        "points": [{**p, "at": {"addr": p["at"], "type": "u16"}} for p in points + both],
    })  # fmt: skip
    link = serial()
    requests = Budget(link, [device("m", spread, 1, "10s")]).requests("m")[10.0]
    # 1 register, 2 registers, 1 register: the driver orders them so, and needs no other
    assert [(r.block.addr, r.canary) for r in requests] == [(0, False), (300, False), (100, False)]
    alike = spread.model_copy(update={"points": spread.points[:2]})
    requests = Budget(link, [device("m", alike, 1, "10s")]).requests("m")[10.0]
    assert [r.canary for r in requests] == [False, False]  # nothing else can be asked


def test_check_warns_of_a_bus_that_cannot_keep_its_period_with_numbers_and_a_way_out() -> None:
    [finding] = check_time("l", serial(baud=2400), meters(32, "3s"))
    assert finding.note
    assert (finding.section, finding.name, finding.path) == ("links", "l", ())
    assert finding.what.startswith("the polls of 32 devices need 21.7 s")
    # 127 characters of 10 bits and three times 50 ms, for each of 32
    assert "of every 3s (96 requests of about" in finding.what
    assert "at 2400 baud" in finding.what
    assert finding.fix.startswith("write poll periods of 30s or more, raise the baud rate, or move")


def test_check_says_nothing_of_a_bus_that_has_time_or_no_device() -> None:
    assert not list(check_time("l", serial(), meters(32)))
    assert not list(check_time("l", serial(), []))
    off = [d._replace(section=d.section.model_copy(update={"enabled": False})) for d in meters(32, "3s")]  # fmt: skip
    assert not list(check_time("l", serial(baud=2400), off))


def test_the_period_that_is_advised_can_be_kept() -> None:
    for count in (1, 10, 60, 200):
        budget = Budget(serial(baud=1200), [device(f"m-{n}", SDM630, n % 247 + 1, "500ms") for n in range(count)])  # fmt: skip
        kept = budget.kept()
        assert kept is not None
        again = Budget(serial(baud=1200), [device(d.id, SDM630, 1, worded_s(kept)) for d in budget.devices])  # fmt: skip
        assert again.short is None


def test_a_profile_with_a_wrong_address_is_left_to_its_own_check() -> None:
    wrong = SDM120.model_copy(update={"points": [SDM120.points[0].model_copy(update={"at": "40001"})]})  # fmt: skip
    assert not list(check_time("l", serial(), meters(1, profile=wrong)))
