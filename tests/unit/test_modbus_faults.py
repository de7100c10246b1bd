"""The misbehaviours of simulated devices: what goes over the line for each of them."""

from collections.abc import Sequence

import pytest

from drivers.modbus.address import Address, Table, Type
from drivers.modbus.frame import crc16
from drivers.modbus.plan import Target
from gateway.model import Value
from gateway.profile import Profile
from simulators.modbus_bus import Timing
from simulators.modbus_cells import cells, idle
from simulators.modbus_faults import IN_PDU, Fault, Misbehaviour, Whims, parts, spoiled
from simulators.modbus_frames import Mbap, NotModbusError, Request, Rtu
from simulators.modbus_meter import Registers, SimMeter

ASKED = "01 03 00 00 00 02"
TOLD = bytes.fromhex("03 04 00 11 00 22")


def rtu(body: str) -> bytes:
    raw = bytes.fromhex(body)
    return raw + crc16(raw).to_bytes(2, "little")


REQUEST = Request(rtu(ASKED), 1, bytes.fromhex(ASKED)[1:])
RIGHT = rtu("01 03 04 00 11 00 22")


def on_the_line(fault: Fault, delay_s: float = 0.5) -> list[tuple[float, bytes]]:
    how = Misbehaviour(fault, 6, delay_s)
    pdu = spoiled(REQUEST.pdu, how) if fault in IN_PDU else TOLD
    return list(parts(Rtu(), REQUEST, pdu, how))


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (Fault.SILENT, []),
        (Fault.CUT, []),
        (Fault.LATE, [(0.5, RIGHT)]),
        (Fault.TWICE, [(0.0, RIGHT), (0.5, RIGHT)]),
        (Fault.EXCEPTION, [(0.0, rtu("01 83 06"))]),
        (Fault.WRONG_FUNCTION, [(0.0, rtu("01 04 04 00 00 00 00"))]),
        (Fault.WRONG_COUNT, [(0.0, rtu("01 03 02 00 01"))]),
        (Fault.FOREIGN, [(0.0, rtu("02 03 04 00 11 00 22"))]),
        (Fault.GARBAGE, [(0.0, b"\x55" * 32)]),
        (Fault.DAMAGED, [(0.0, RIGHT[:-1] + bytes([RIGHT[-1] ^ 0x40]))]),
        (Fault.SHORT, [(0.0, RIGHT[:4])]),
        (Fault.ECHO, [(0.0, rtu(ASKED) + RIGHT)]),
        (Fault.SLOW, [(0.5 * i, RIGHT[i : i + 1]) for i in range(9)]),
    ],
)
def test_a_fault_puts_on_the_line_what_it_says(
    fault: Fault, sent: list[tuple[float, bytes]]
) -> None:
    assert on_the_line(fault) == sent


def test_every_wrong_count_is_wrong() -> None:
    for function, count, right in ((1, 12, 2), (2, 30, 4), (3, 1, 2), (4, 2, 4), (3, 125, 250)):
        pdu = bytes([function]) + b"\0\0" + count.to_bytes(2, "big")
        answer = spoiled(pdu, Misbehaviour(Fault.WRONG_COUNT))
        assert answer[1] == len(answer) - 2 != right


def test_whims_are_the_same_for_the_same_seed_and_are_counted() -> None:
    one, other = Whims(3, 0.3), Whims(3, 0.3)
    done = [one("m1") for _ in range(500)]
    assert done == [other("m1") for _ in range(500)]
    assert sum(one.done.values()) == sum(how is not None for how in done)
    assert 100 < sum(one.done.values()) < 200
    assert set(one.done) == set(Fault)
    one.only(1.0, Fault.ECHO)
    assert {how.fault for how in (one("m1") for _ in range(9)) if how is not None} == {Fault.ECHO}


def test_requests_are_found_in_what_comes_however_it_comes() -> None:
    tcp = bytes.fromhex("00 07 00 00 00 06") + bytes.fromhex(ASKED)
    for framing, raw in ((Rtu(), rtu(ASKED)), (Mbap(), tcp)):
        found: list[Request] = []
        rest = b""
        for byte in raw + raw:
            more, rest = framing.requests(rest + bytes([byte]))
            found += more
        assert found == [Request(raw, 1, REQUEST.pdu)] * 2
        assert rest == b""
        assert framing.requests(raw + raw + raw[:5]) == (found, raw[:5])
    several = rtu("01 10 00 00 00 01 02 00 05")
    assert Rtu().requests(several)[0] == [Request(several, 1, several[1:-2])]


def test_a_damaged_request_is_dropped_and_a_stream_that_is_no_modbus_ends() -> None:
    damaged = rtu(ASKED)[:-1] + b"\0"
    assert Rtu().requests(damaged + b"\1\2") == ([], b"")
    with pytest.raises(NotModbusError):
        Mbap().requests(b"GET / HTTP/1.1")


def test_a_tcp_answer_has_the_number_of_its_request_or_always_0() -> None:
    request = Request(bytes.fromhex("01 02 00 00 00 06") + bytes.fromhex(ASKED), 1, REQUEST.pdu)
    assert Mbap().answer(request, 1, TOLD)[:2] == b"\1\2"
    assert Mbap(zero=True).answer(request, 1, TOLD)[:2] == b"\0\0"


def test_characters_take_their_time() -> None:
    assert Timing(9600, 10).line_s(8) == pytest.approx(0.008_333, rel=1e-3)
    assert Timing(2400, 11).line_s(13) == pytest.approx(0.059_583, rel=1e-3)
    assert Timing().line_s(250) == 0.0


PANEL = Profile.model_validate({
    "profile": "panel", "type": "test", "facility": "fire", "protocol": "modbus",
    "sources": ["this test"], "status": "code",
    "defaults": {"at": {"table": "holding", "type": "u16"}},
    "points": [
        {"id": "pump.on", "at": {"addr": 0, "bit": 2}}, {"id": "pump.fault", "at": {"addr": 0, "bit": 9}},
        {"id": "water.total", "at": {"addr": 1, "type": "bcd", "words": 2}, "scale": "0.1"},
        {"id": "device.serial", "at": {"addr": 3, "type": "string", "words": 4, "order": "BADC"}},
        {"id": "device.faults", "at": 7, "bits": {"0": "mains", "3": "battery"}},
        {"id": "env.temperature", "at": {"addr": 8, "type": "i16"}, "sentinels": [0, 1]},
        {"id": "door.open", "at": {"table": "discrete", "addr": 0, "type": "bool"}},
        {"id": "elec.power.total", "at": {"addr": 9, "type": "f32", "order": "CDAB"}},
    ],
    "commands": [
        {"id": "door", "point": "door.open", "at": {"table": "coil", "addr": 5, "type": "bool"}},
    ],
})  # fmt: skip


def read(device: Registers, addr: int, size: int, table: Table = Table.HOLDING) -> dict[str, Value]:
    found = device.read(table, addr, size, 0)
    assert found is not None
    return found[1]


def test_values_of_every_type_are_shown() -> None:
    device = Registers(SimMeter("p1", PANEL, 1), 0)
    assert read(device, 0, 9) == {
        "pump.on": False, "pump.fault": False, "water.total": 0, "device.serial": "SIM",
        "device.faults.mains": False, "device.faults.battery": False, "env.temperature": 2,
    }  # fmt: skip
    device.forced |= {
        "pump.on": True, "pump.fault": True, "water.total": 12345.6, "device.serial": "SN-12345",
        "device.faults.mains": True, "device.faults.battery": True, "env.temperature": -7,
    }  # fmt: skip
    found = device.read(Table.HOLDING, 0, 9, 0)
    assert found is not None
    words, values = found
    assert values == device.forced
    assert words[:3] == [1 << 2 | 1 << 9, 0x0012, 0x3456]
    assert words[7] == 0b1001


def test_a_point_that_confirms_a_command_elsewhere_follows_it() -> None:
    device = Registers(SimMeter("p1", PANEL, 1), 0)
    assert read(device, 0, 1, Table.DISCRETE) == {"door.open": False}
    assert device.write(Table.COIL, 5, [1])
    assert read(device, 0, 1, Table.DISCRETE) == {"door.open": True}
    assert not device.write(Table.COIL, 6, [1])


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [(Type.U16, 70000, [0xFFFF]), (Type.I16, -40000, [0x8000]), (Type.F32, 230.25, [0x4366, 0x4000])],
)  # fmt: skip
def test_a_value_is_shown_as_nearly_as_its_register_can(
    kind: Type, value: float, shown: Sequence[int]
) -> None:
    point = PANEL.by_id["elec.power.total"]
    target = Target(point, Address(Table.HOLDING, 0, kind))
    assert list(cells(target, value)) == shown
    assert idle(target) == 0
