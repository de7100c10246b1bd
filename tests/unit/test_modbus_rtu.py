"""Which bytes on a serial line are an answer to what was sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.rtu import MORE, Seen, seen, stray
from drivers.modbus.settings import ModbusLink
from drivers.modbus.wire import wire
from tests.harness.line import framed, right

READ = framed(bytes([17, 3, 0, 107, 0, 3]))
ANSWER = right(READ)
COILS = framed(bytes([17, 1, 3, 0, 0, 20]))  # its echo has the length of an answer
WRITE = framed(bytes([17, 6, 0, 1, 0, 3]))
SEVERAL = framed(bytes([17, 16, 0, 1, 0, 2, 4, 0, 10, 1, 2]))


@pytest.mark.parametrize("sent", [READ, COILS, WRITE, SEVERAL])
def test_a_right_answer_is_an_answer_when_it_is_whole(sent: bytes) -> None:
    answer = right(sent)
    for end in range(len(answer)):
        assert seen(sent, answer[:end]) == MORE
    assert seen(sent, answer) == Seen(answer)
    exception = framed(bytes([17, sent[1] | 0x80, 2]))
    assert seen(sent, exception) == Seen(exception)


FAULTS = {
    "another unit": (READ, framed(b"\x12" + ANSWER[1:-2]), "unit"),
    "another function": (READ, framed(b"\x11\x04" + ANSWER[2:-2]), "function"),
    "fewer registers": (READ, right(framed(bytes([17, 3, 0, 107, 0, 1]))), "count"),
    "more registers": (READ, right(framed(bytes([17, 3, 0, 107, 0, 4]))), "count"),
    "a wrong checksum": (READ, ANSWER[:-1] + bytes([ANSWER[-1] ^ 1]), "crc"),
    "more than an answer": (READ, ANSWER + b"\x11", "surplus"),
    "the answer twice": (READ, ANSWER + ANSWER, "surplus"),
    "what was sent": (READ, READ, "local_echo"),
    "what was sent, and the answer": (READ, READ + ANSWER, "local_echo"),
    "what was sent, as long as an answer": (COILS, COILS, "local_echo"),
    "a write elsewhere": (WRITE, framed(bytes([17, 6, 0, 2, 0, 3])), "echo"),
    "another value written": (WRITE, framed(bytes([17, 6, 0, 1, 0, 4])), "echo"),
    "the unit only": (READ, b"\x12", "unit"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_does_not_fit_is_told_by_its_class(kind: str) -> None:
    sent, data, fault = FAULTS[kind]
    assert seen(sent, data) == Seen(fault=fault)


@given(st.binary(max_size=40))
def test_no_bytes_are_taken_for_an_answer_by_chance(data: bytes) -> None:
    found = seen(READ, data)
    assert found.frame in {b"", data.strip(b"\x00\xff")}
    if found.frame:
        assert framed(found.frame[:-2]) == found.frame


@pytest.mark.parametrize("glitch", [b"\x00", b"\xff", b"\x00\xff\x00"])
def test_a_driver_chip_that_turns_round_is_no_fault(glitch: bytes) -> None:
    assert seen(READ, glitch + ANSWER) == Seen(ANSWER)
    assert seen(READ, ANSWER + glitch) == Seen(ANSWER)
    assert not stray(glitch)
    assert stray(glitch + b"\x11")


@pytest.mark.parametrize(
    ("baud", "parity", "stop", "character_ms", "gap_ms"),
    [
        (9600, "N", 1, 1.0417, 3.6458),
        (9600, "E", 1, 1.1458, 4.0104),
        (19200, "E", 1, 0.5729, 2.0052),
        (38400, "N", 1, 0.2604, 1.75),
    ],
)
def test_the_line_is_as_slow_as_its_settings(
    baud: int, parity: str, stop: int, character_ms: float, gap_ms: float
) -> None:
    section = {"driver": "modbus", "transport": "rtu", "path": "/dev/x"}
    line = wire(ModbusLink.model_validate(section | {"baud": baud, "parity": parity, "stop": stop}))
    assert line.character_s * 1000 == pytest.approx(character_ms, abs=1e-4)
    assert line.gap_s * 1000 == pytest.approx(gap_ms, abs=1e-4)
    assert line.read_s(40) * 1000 == pytest.approx(53 * character_ms, abs=1e-2)
