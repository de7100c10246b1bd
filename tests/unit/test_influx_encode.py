"""What a record looks like as a line of InfluxDB's line protocol."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from gateway.driver import Device
from gateway.model import EMPTY, Event, EventKind, Item, Level, Quality, Sample, Severity, Value
from gateway.profile import Profile
from gateway.sinks.influx_encode import Body, Encoder
from gateway.sinks.influx_types import FieldTypes
from gateway.sinks.line import faults, field, field_key, series
from gateway.store.store import Slice
from tests.harness.influx import meters

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NOW = 1_772_391_600_123_456_789


def sample(values: Mapping[str, Value], device: str = "meter-0") -> Sample:
    quality = {"elec.frequency": Quality(Level.BAD, "timeout")}
    return Sample(device, NOW, 5, 1, True, values, quality)


def event(device: str = "meter-0", cause: UUID | None = None, **attributes: object) -> Event:
    return Event(
        ID, EventKind.POINT_ALARM, Severity.LIFE, device, NOW, 5, 1, True, attributes, cause
    )


def encoder(**tags: str) -> Encoder:
    one = meters(1)["meter-0"]
    return Encoder("gw-1", {"meter-0": with_tags(one, tags)})


def with_tags(device: Device, tags: dict[str, str]) -> Device:
    return device._replace(section=device.section.model_copy(update={"tags": tags}))


def filled(part: Slice, max_bytes: int) -> Body:
    made = Body(encoder(), part, max_bytes)
    while made.fill(3):
        pass
    return made


def data(body: Body) -> bytes:
    return b"\n".join(line.data for line in body.lines)


def part(*items: Item, lane: int = 2, gap: int = 0) -> Slice:
    seqs = range(1 + gap, 1 + gap + len(items))
    last = gap + len(items)
    return Slice(lane, 3, 1, 1, last, (), tuple(zip(seqs, items, strict=True)))


def test_a_sample_is_one_line_of_its_facility() -> None:
    line = encoder(building="3", room="").sample(
        sample({"elec.power.total": 21, "light.on": True, "mode": 'a "b" \\'})
    )
    assert line == (
        "utilities,building=3,device=meter-0,gateway=gw-1,profile=eastron-sdm120 "
        'elec.power.total=21.0,light.on=true,mode="a \\"b\\" \\\\" 1772391600123456789'
    )


def test_tags_are_sorted_and_escaped() -> None:
    line = encoder(zone="a b,c=d", **{"Kern tag": "é"}).sample(sample({"x": 1}))
    assert line.startswith(
        "utilities,Kern\\ tag=é,device=meter-0,gateway=gw-1,profile=eastron-sdm120,zone=a\\ b\\,c\\=d x=1.0 "
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(21, "21.0"), (21.5, "21.5"), (-0.0, "-0.0"), (1e16, "1e+16"), (2**70, "1.1805916207174113e+21"),
     (True, "true"), (False, "false"), ("", '""'), ("a\nb", '"a\nb"'),
     (float("nan"), None), (float("inf"), None), (10**400, None)],
)  # fmt: skip
def test_numbers_are_floats_and_what_no_float_can_hold_is_left_out(
    value: Value, shown: str | None
) -> None:
    assert field(value) == shown


def test_a_sample_without_any_value_is_no_line() -> None:
    body = filled(part(sample({}), sample({"x": float("nan")}), sample({"x": 1})), 1_000)
    assert (body.last, body.items, body.empty) == (3, 1, 2)
    assert data(body).count(b"\n") == 0


def test_a_device_that_is_no_longer_configured_is_written_all_the_same() -> None:
    line = encoder().sample(sample({"x": 1}, device="gone-1"))
    assert line == "unknown,device=gone-1,gateway=gw-1 x=1.0 1772391600123456789"


def test_an_event_is_one_line_with_its_lane_and_all_it_says() -> None:
    line = encoder(building="3").event(0, 42, event(cause=ID, point="alarm.smoke", text='烟 "!"\n'))
    assert line == (
        "event,building=3,device=meter-0,gateway=gw-1,kind=point_alarm,lane=0,profile=eastron-sdm120,severity=life "
        f'event_id="{ID}",attributes="{{\\"point\\": \\"alarm.smoke\\", \\"text\\": \\"烟 \\\\\\"!\\\\\\"\\\\n\\"}}",'
        f'clock_ok=true,cause="{ID}" 1772391600123000042'
    )


def test_two_events_of_one_millisecond_are_two_points() -> None:
    one = encoder()
    times = {one.event(1, seq, event()).rsplit(" ", 1)[1] for seq in range(1, 101)}
    assert len(times) == 100
    assert encoder().event(1, 7, event()) == one.event(1, 7, event()), "the same at a replay"


def test_an_event_may_say_what_json_cannot() -> None:
    line = encoder().event(0, 1, event(big=10**30, odd=EMPTY, id=ID))
    assert f"{10**30}" in line
    assert str(ID) in line


def test_a_body_ends_before_it_is_too_large_but_has_one_line() -> None:
    samples = [sample({"elec.power.total": n}) for n in range(10)]
    whole = filled(part(*samples), 10_000)
    assert (whole.last, whole.items) == (10, 10)
    width = len(data(whole).split(b"\n")[0])
    cut = filled(part(*samples), 3 * width + 10)
    assert (cut.last, cut.items) == (3, 3)
    assert len(data(cut)) <= 3 * width + 10
    assert filled(part(*samples), 1).items == 1


def test_a_gap_is_covered_by_the_body_that_follows() -> None:
    assert filled(part(sample({"x": 1}), gap=5), 1_000).last == 6
    nothing = filled(Slice(2, 3, 1, 1, 9, ((1, 9, "corrupt"),), ()), 1_000)
    assert (nothing.last, data(nothing)) == (9, b"")


@pytest.mark.parametrize(
    ("measurement", "tags"),
    [("#m", {}), ("", {}), ("a\nb", {}), ("a\\", {}), ("a\\,b", {}), ("m", {"": "x"}),
     ("m", {"t": "a\nb"}), ("m", {"t": "a\\"}), ("m", {"a\n": "x"}), ("m", {"t": "\x00"})],
)  # fmt: skip
def test_names_that_no_server_takes_are_refused(measurement: str, tags: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no series"):
        series(measurement, tags)


@pytest.mark.parametrize("key", ["", "a\\b", "a\nb"])
def test_field_keys_that_no_server_takes_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no field key"):
        field_key(key)


def test_a_profile_with_a_point_that_influxdb_drops_is_found_before_the_start() -> None:
    one = meters(1)["meter-0"]
    points = [one.profile.points[0].model_copy(update={"id": "time"})]
    fields = {name: getattr(one.profile, name) for name in Profile.model_fields}
    changes = {"own_points": points, "profile": "a\\"}
    odd = one._replace(profile=Profile.model_construct(**{**fields, **changes}))
    assert [path for path, _ in faults(odd)] == [("profile",), ("profile",)]


@pytest.mark.parametrize(
    ("tags", "part"),
    [({"device": "x"}, "uses itself"), ({"time": "x"}, "uses itself"), ({"_field": "x"}, "uses itself"),
     ({"zone": "a\nb"}, "cannot be printed"), ({"zone": "a\\"}, "backslash"), ({"": "x"}, "without a name"),
     ({"zo\tne": "x"}, "cannot be printed")],
)  # fmt: skip
def test_a_configured_tag_that_cannot_be_written_is_found_before_the_start(
    tags: dict[str, str], part: str
) -> None:
    ((path, what),) = faults(with_tags(meters(1)["meter-0"], tags))
    assert path == ("tags", next(iter(tags)))
    assert part in what
    assert list(faults(with_tags(meters(1)["meter-0"], {"building": "3 号楼", "zone": ""}))) == []


def test_a_point_that_changes_its_type_is_written_beside_the_old_field(tmp_path: Path) -> None:
    found = []
    changes: list[dict[str, Value]] = [{"mode": 1}, {"mode": "auto"}, {"mode": True}, {"mode": 2.5}]
    for values in changes:
        types = FieldTypes(tmp_path)  # a new process each time
        types.load()
        made = Encoder("gw-1", meters(1), types).sample(sample(values))
        types.save()
        found.append(made.split(" ")[-2])
    assert found == ["mode=1.0", 'mode_str="auto"', "mode_bool=true", "mode=2.5"]


@pytest.mark.parametrize("text", ["", "[]", '{"a b": 7}', "{"])
def test_types_that_cannot_be_read_are_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "influx-types.json").write_text(text)
    types = FieldTypes(tmp_path)
    types.load()
    assert types.name("a", "b", "text") == "b"
    assert types.name("a", "b", "number") == "b_num"
    types.save()
    again = FieldTypes(tmp_path)
    again.load()
    assert again.name("a", "b", "number") == "b_num"
    assert not again.changed
