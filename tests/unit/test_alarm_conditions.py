"""Conditions of the alarms of profiles: how they are read, and what is refused with which fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from rules.condition import Condition, Limit, Number, parse


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("fire.device[*] == fire", Condition("fire.device", "[*]", "==", "fire")),
        ("fire.device[17]!=normal", Condition("fire.device", "[17]", "!=", "normal")),
        ("it.fire.bus == fault", Condition("fire.bus", "", "==", "fault")),
        ("water.level > limit.high", Condition("water.level", "", ">", Limit("high"))),
        ("elec.voltage.a >= 253.5 V", Condition("elec.voltage.a", "", ">=", Number(253.5, "V"))),
        ("water.level < -3 m", Condition("water.level", "", "<", Number(-3, "m"))),
        ("env.temperature > 60 °C", Condition("env.temperature", "", ">", Number(60, "Cel"))),
        ("door.count == 3", Condition("door.count", "", "==", Number(3, None))),
        ("door.open == true", Condition("door.open", "", "==", operand=True)),
        ("door.open != false", Condition("door.open", "", "!=", operand=False)),
        ("door.mode == 'half open'", Condition("door.mode", "", "==", "half open")),
        ('door.mode == "开"', Condition("door.mode", "", "==", "开")),
        ("  alarm.smoke  ", Condition("alarm.smoke", "", "!=", operand=False)),
    ],
)
def test_a_condition_is_a_point_a_comparison_and_a_value(text: str, test: Condition) -> None:
    assert parse(text) == test


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "begins with a point"),
        ("17 > 3", "begins with a point (at character 1, '17 > 3')"),
        ("fire.device[x] == fire", "begins with a point"),
        ("fire.device[*", "begins with a point"),
        ("not alarm.smoke", "'not' is not in this version"),
        ("fire.bus = fault", "'=' compares nothing (at character 10, '= fault')"),
        ("fire.bus fault", "no comparison"),
        ("fire.bus and fire.power", "'and' is not in this version (at character 10"),
        ("fire.bus ==", "no value after '==' (at the end)"),
        ("fire.bus == fault or fire.power", "'or' is not in this version (at character 19"),
        ("fire.bus > fault", "'>' with 'fault'"),
        ("door.open < true", "'<' with True"),
        ("water.level > water.limit", "comparing two points"),
        ("water.level > 3 mete", "'mete' is no unit (at character 17"),
        ("water.level > 3 m now", "not understood (at character 19, 'now')"),
        ("fire.bus == 'fault", "no value after '=='"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_fails(text: str, told: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        parse(text)
    context = caught.value.context
    assert context is not None
    assert told in str(context["what"])
    assert context["fix"]


@given(
    st.text(max_size=30)
    | st.lists(
        st.sampled_from(["a.b", "[*]", "[3]", " ", "==", "<", "limit.x", "3", "V", "fire", "'", "and", "true"]),
        max_size=9,
    ).map("".join)
)  # fmt: skip
def test_any_text_is_a_condition_or_refused_with_a_fix(text: str) -> None:
    try:
        parse(text)
    except PydanticCustomError as error:
        assert error.context is not None
        assert error.context["what"]
        assert error.context["fix"]
