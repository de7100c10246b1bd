"""How `gateway alarms` shows them."""

from rich.console import Console

from gateway.cli.alarms_page import Board, page
from gateway.snapshot import AlarmPart


def alarm(name: str, severity: str, letter: str, **more: object) -> AlarmPart:
    part: AlarmPart = {
        "instance": name, "rule": name, "device": "one", "severity": severity, "title": name.title(), "since_s": 61,
        "latched": False, "letter": letter, "acked_by": "", "raises": 1, "muted": False, "left_s": None, "by": "",
        "reason": "",
    }  # fmt: skip
    return part | more  # type: ignore[return-value] # keys of the same part


def shown(*alarms: AlarmPart, height: int | None = None) -> list[str]:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(page(alarms, height=height))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_the_most_severe_that_nobody_has_seen_comes_first() -> None:
    lines = shown(
        alarm("door", "operational", "B"),
        alarm("fire", "life", "C", acked_by="uid 7"),
        alarm("gas", "life", "B", raises=3),
    )
    assert [line.split()[0] for line in lines[2:]] == ["B", "C", "B"]
    assert "gas x3" in lines[2]
    assert "Fire; acknowledged by uid 7" in lines[3]


def test_it_says_what_would_end_an_alarm_and_who_has_put_it_aside() -> None:
    text = "\n".join(shown(
        alarm("a", "safety", "E", latched=True), alarm("b", "safety", "D"), alarm("c", "safety", "H"),
        alarm("d", "safety", "I", left_s=7_200, by="uid 7", reason="rewired"), alarm("e", "safety", "G", left_s=600, by="uid 8"), alarm("f", "safety", "X"),
    ))  # fmt: skip
    assert "A; over, waits for: gateway reset 'a'" in text
    assert "B; over, waits for: gateway ack 'b'" in text
    assert "C; suppressed" in text
    assert "D; out of service by uid 7 for another 2 h (rewired)" in text
    assert "F; was due while the gateway was off; nothing is known since, it waits for data" in text
    assert "E; shelved by uid 8 for another 10 min" in text


def test_on_a_small_screen_it_says_how_many_are_left_out() -> None:
    lines = shown(*(alarm(f"a{i}", "safety", "B") for i in range(9)), height=6)
    assert lines[0] == "Alarms: 9, 3 shown"
    assert shown() == ["no alarm is open"]


def test_the_screen_scrolls_to_the_last_alarm_and_says_that_the_gateway_is_away() -> None:
    board = Board()
    board.take([alarm(f"door-{n}", "safety", "B", since_s=100 - n) for n in range(40)])
    board.place.offset = 1_000
    board.take(board.alarms)
    board.place.away, board.place.away_s = "no gateway runs in /x", 9.0
    console = Console(width=120, height=12)
    with console.capture() as captured:
        console.print(board.draw(120, 12))
    lines = captured.get().splitlines()
    assert lines[0] == "no answer: no gateway runs in /x; trying again"
    assert any("door-39" in line for line in lines)
    assert len(lines) <= 12
    assert lines[-1].startswith("q quit")
