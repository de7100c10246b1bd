"""Any text goes through the encoder to a real InfluxDB and comes back as it was."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model import Value
from gateway.sinks.line import field, field_key, refuse, series
from tests.harness.influxd import Influxd, needs_influxd

pytestmark = needs_influxd

# What escaping is about, more often than chance would bring it.
SPECIAL = " ,=\\\"'#aé表"
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=SPECIAL)
TEXT = st.text(alphabet=SPECIAL + "\n\t\0\r", max_size=12) | st.text(max_size=30)
TAG = st.text(st.sampled_from(SPECIAL) | PRINTABLE, max_size=20).map(
    lambda text: text.rstrip("\\") or "x"
)
NAME = TAG.map(lambda text: text.replace("\\", "/").lstrip("#") or "x")
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
numbers = count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    running = Influxd(Path(tmp_path_factory.mktemp("influxd")))
    running.start()
    yield running
    running.kill()


def line(at_ns: int, where: str, fields: dict[str, Value]) -> str:
    parts = [f"{field_key(key)}={field(value)}" for key, value in fields.items()]
    return f"{where} {','.join(parts)} {at_ns}"


def floats(values: dict[str, Value]) -> dict[str, Value]:
    """Whole numbers come back without a point."""
    return {key: v if isinstance(v, bool | str) else float(v) for key, v in values.items()}


def send(influxd: Influxd, lines: list[str]) -> None:
    assert influxd.write("\n".join(lines).encode()) == (204, b"")


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(TAG, TEXT), min_size=20, max_size=60))
def test_tags_and_texts_come_back_as_they_were(
    influxd: Influxd, rows: list[tuple[str, str]]
) -> None:
    name = f"texts{next(numbers)}"
    send(influxd, [line(n, series(name, {"t": tag}), {"s": s}) for n, (tag, s) in enumerate(rows)])
    found = influxd.query(f"SELECT * FROM {name}")  # noqa: S608 -- a constant and a number
    assert [(row["time"], row["t"], row["s"]) for row in found] == [
        (at, tag, said) for at, (tag, said) in enumerate(rows)
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=NAME, tag=TAG, values=st.dictionaries(NAME, NUMBER | st.booleans(), min_size=1, max_size=9)
)
def test_names_numbers_and_truths_come_back_as_they_were(
    influxd: Influxd, name: str, tag: str, values: dict[str, Value]
) -> None:
    name = f"{name}{next(numbers)}"
    tag, fields = f"t{tag}", {f"f{key}": value for key, value in values.items()}
    send(influxd, [line(7, series(name, {tag: "x"}), fields)])
    quoted = name.replace('"', '\\"')
    (row,) = influxd.query(f'SELECT * FROM "{quoted}"')  # noqa: S608 -- what it holds is the test
    assert (row.pop("time"), row.pop(tag)) == (7, "x")
    assert floats(row) == floats(fields)


@given(text=st.text())
def test_a_tag_is_refused_or_has_no_way_out_of_its_line(text: str) -> None:
    if refuse(text) is not None:
        with pytest.raises(ValueError, match="no series"):
            series("m", {"tag": text})
        return
    line = series("m", {"tag": text})
    assert "\n" not in line
    assert not line.endswith("\\")
