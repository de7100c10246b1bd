"""Forty kinds of wrong rule: each with its place and a way out, in English and in Chinese."""

import re
from time import process_time_ns

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import parse as parse_yaml
from gateway.errors import ConfigError, Problem
from gateway.words.text import Said, say
from rules.load import load_rules
from rules.parse import parse
from rules.tokens import MAX_LENGTH
from rules.tree import RuleError
from tests.unit.rules_site import DEVICES, load

HEAD = "rules:\n- id: r\n  for_each: {type: meter}\n"
TAIL = "  when: it.elec.voltage.a > 250 V\n"
LAMP = "rules:\n- id: r\n  for_each: {type: light}\n  when: it.env.illuminance < 40 lx\n"

# what is written, the id of what is said of it, line and column of the place.
WRONG = {
    "no rules": ("", "rule.no_rules", 1, 1),
    "no list": ("rules: {}", "value.type.list", 1, 8),
    "unknown key": (f"{HEAD}  wen: 1\n{TAIL}", "value.no_key", 4, 3),
    "missing key": (HEAD, "value.missing", 2, 3),
    "wrong id": (HEAD.replace("id: r", "id: R 1") + TAIL, "value.no_id", 2, 7),
    "same id": (f"{HEAD}{TAIL}- id: r\n  when: true\n", "rule.twice", 5, 7),
    "unknown device": ("rules:\n- id: r\n  for_each: {id: meter-9}\n" + TAIL, "value.no_device", 3, 18),
    "unknown tag": ("rules:\n- id: r\n  for_each: {tags: {bilding: '1'}}\n" + TAIL, "rule.no_tag", 3, 21),
    "selects nothing": ("rules:\n- id: r\n  for_each: {}\n" + TAIL, "rule.selects_nothing", 3, 13),
    "device lacks the tag": ("rules:\n- id: r\n  for_each: {each: [use]}\n  when: all(members.light.on)\n", "rule.lacks_tag", 3, 20),
    "stray sign": (f"{HEAD}  when: it.elec.voltage.a ~ 5 V\n", "expr.stray", 4, 27),
    "assignment": (f"{HEAD}  when: it.elec.voltage.a = 5 V\n", "expr.assignment", 4, 27),
    "chain": (f"{HEAD}  when: 1 V < it.elec.voltage.a < 5 V\n", "expr.chained", 4, 33),
    "unfinished": (f"{HEAD}  when: it.elec.voltage.a >\n", "expr.short", 4, 28),
    "open bracket": (f"{HEAD}  when: (it.elec.pf.total < 1\n", "expr.open_bracket", 4, 30),
    "no list after in": (f"{HEAD}  when: it.elec.voltage.a in 5 V\n", "expr.no_list", 4, 30),
    "open text": (f'{HEAD}  when: it.elec.voltage.a == "open\n', "expr.open_text", 4, 30),
    "joined by nothing": (f"{HEAD}  when: it.elec.voltage.a > 5 V 6\n", "expr.unjoined", 4, 33),
    "no condition": (f"{HEAD}  when: it.elec.voltage.a\n", "expr.no_condition", 4, 9),
    "no unit": (f"{HEAD}  when: it.elec.voltage.a > 253\n", "unit.missing", 4, 29),
    "unknown unit": (f"{HEAD}  when: it.elec.voltage.a > 253 v\n", "unit.unknown", 4, 29),
    "other dimension": (f"{HEAD}  when: it.elec.voltage.a > 253 A\n", "unit.differs", 4, 29),
    "unit too much": (f"{HEAD}  when: it.elec.pf.total > 50 %\n", "unit.unwanted", 4, 28),
    "product": (f"{HEAD}  when: it.elec.voltage.a * it.elec.power.total > 0\n", "expr.product", 4, 9),
    "unknown point": (f"{HEAD}  when: it.elec.voltage.b > 253 V\n", "expr.profile_point", 4, 9),
    "unknown alias": (f"{HEAD}  when: elec.voltage.a > 253 V\n", "expr.no_alias", 4, 9),
    "device alone": (f"{HEAD}  when: it > 1 V\n", "expr.device", 4, 9),
    "unknown function": (f"{HEAD}  when: agv(it.elec.voltage.a, 1m) > 253 V\n", "expr.no_function", 4, 9),
    "window without duration": (f"{HEAD}  when: avg(it.elec.voltage.a, 5) > 253 V\n", "expr.no_duration", 4, 32),
    "window too long": (f"{HEAD}  when: avg(it.elec.voltage.a, 3d) > 253 V\n", "expr.duration_range", 4, 32),
    "arguments": (f"{HEAD}  when: avg(it.elec.voltage.a) > 253 V\n", "expr.arguments", 4, 9),
    "unknown rule": (f'{HEAD}  when: active("q")\n', "expr.no_rule", 4, 16),
    "group of nobody": (f"{HEAD}  when: any(it.elec.pf.total > 1)\n", "expr.one_group", 4, 9),
    "unknown text": (f"{LAMP[:LAMP.index('  when')]}  when: it.light.mode == dark\n", "expr.never_text", 4, 26),
    "order of texts": (f"{LAMP[:LAMP.index('  when')]}  when: it.light.mode > auto\n", "expr.order", 4, 9),
    "never true": (f"{HEAD}  when: it.elec.voltage.a > 300 V\n", "rule.never_reached", 4, 9),
    "contradiction": (f"{HEAD}  when: it.elec.voltage.a < 20 V and it.elec.voltage.a > 50 V\n", "rule.never", 4, 9),
    "when and until": (f"{HEAD}{TAIL}  until: it.elec.voltage.a < 260 V\n", "rule.overlap", 5, 10),
    "duration without unit": (f"{HEAD}{TAIL}  for: 5\n", "value.no_unit", 5, 8),
    "unknown severity": (f"{HEAD}{TAIL}  alarm: {{severity: high}}\n", "value.literal", 5, 21),
    "moment with until": (f"{HEAD}  at: '07:30'\n{TAIL}  until: true\n", "rule.with_at", 2, 3),
    "no time of day": (f"{HEAD}{TAIL}  during: {{from: 7 pm}}\n", "rule.no_time", 5, 18),
    "two keys in a step": (f"{HEAD}{TAIL}  do: [{{wait: 5s, log: x}}]\n", "rule.step_keys", 5, 8),
    "foreign device": (f"{LAMP}  do: [{{set: {{device: lamp, point: light.level, value: 60 %}}}}]\n", "rule.not_its_device", 5, 23),
    "read-only point": (f"{LAMP}  do: [{{set: {{device: it, point: env.illuminance, value: 60 lx}}}}]\n", "rule.not_writable", 5, 34),
    "value outside": (f"{LAMP}  do: [{{set: {{device: it, point: light.level, value: 160 %}}}}]\n", "value.outside", 5, 54),
    "set twice": (f"{LAMP}  do: [{{set: {{device: it, point: light.on, value: true}}}}, {{set: {{device: it, point: light.on, value: false}}}}]\n", "rule.set_twice", 5, 85),
    "unknown recipient": (f"{HEAD}{TAIL}  do: [{{notify: {{to: nobody}}}}]\n", "rule.no_recipient", 5, 22),
    "open brace": (f"{HEAD}{TAIL}  do: [{{log: 'x {{it'}}]\n", "rule.brace", 5, 14),
    "feedback": (f"{LAMP}  do: [{{set: {{device: it, point: light.level, value: 60 %}}}}]\n- id: q\n  for_each: {{type: light}}\n  when: it.light.level > 50 %\n  do: [{{set: {{device: it, point: light.level, value: 0 %}}}}]\n", "rule.feedback", 9, 7),
    "circle": (f'{HEAD}  when: active("q")\n- id: q\n  for_each: {{type: meter}}\n  when: active("r")\n', "rule.circle", 4, 9),
}  # fmt: skip


def only(text: str) -> Problem:
    (problem,) = load(text)[1]
    return problem


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_rule_is_refused_with_place_and_way_out_in_both_languages(kind: str) -> None:
    text, id_, line, column = WRONG[kind]
    problem = only(text)
    assert isinstance(problem.what, Said)
    assert isinstance(problem.fix, Said)
    assert (problem.what.id, problem.line, problem.column) == (id_, line, column)
    for words in (problem.what, problem.fix):
        assert words.strip()
        assert not re.search(r"[\u4e00-\u9fff]", words)
        assert re.search(r"[\u4e00-\u9fff]", say(words, "zh")), say(words, "zh")


def test_there_are_thirty_kinds_of_wrong_rule() -> None:
    assert len({id_ for _, id_, _, _ in WRONG.values()}) >= 30


# -- whatever is written ------------------------------------------------------------------------

PIECES = [
    "it.elec.voltage.a", "it", "members", "253 V", "5", "1h", "<", "<=", "==", "=", "and", "or", "not", "in", "(", ")", "[", "]",
    ",", "+", "-", "*", "/", '"', '"a"', "avg(", "any(", "active(", "true", "°C", "%", "打开", "．", "\u0301", "{", "}", "1e9", "0x1F",
    "..", "a.b[3]", "&&", "||", "!", " ", "\t", "\n", "9" * 40, "\ud7ff", "𝟙",
]  # fmt: skip
EXPRESSIONS = st.one_of(
    st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=120).map(" ".join)
)
LONG = st.sampled_from(PIECES).map(lambda piece: (f"{piece} " * MAX_LENGTH)[:MAX_LENGTH])


def spent_ms(text: str) -> float:
    """Processor time of a refusal, or of an acceptance; the best of three, since others compute too."""
    times = []
    for _ in range(3):
        begun = process_time_ns()
        try:
            parse(text)
        except RuleError as error:
            assert error.what
            assert error.fix
            assert 0 <= error.start <= error.end <= len(text)
        times.append(process_time_ns() - begun)
    return min(times) / 1e6


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS)
def test_an_expression_is_read_or_refused_in_words(text: str) -> None:
    assert spent_ms(text) < 10


@settings(max_examples=100, deadline=None)
@given(LONG)
def test_the_longest_expression_is_read_or_refused_within_10_ms(text: str) -> None:
    assert spent_ms(text) < 10


@pytest.mark.parametrize(
    "text", ["(" * 2000, "not " * 500, "-" * 2000, "1+" * 1000, "a.b" * 666, '"' * 2000, "[" * 2000,
             "9" * 2000, "9 " * 1000, "_" * 2000, "avg(" * 500, "a and " * 333, "1 V" * 666]
)  # fmt: skip
def test_the_worst_expressions_of_2_000_characters_take_less_than_10_ms(text: str) -> None:
    assert spent_ms(text) < 10


KEYS = ["id", "title", "for_each", "with", "when", "until", "for", "keep_for", "during", "at", "priority", "alarm", "do", "on_clear", "on_unknown", "enabled"]  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(PIECES), EXPRESSIONS,
        st.sampled_from(["meter", "30s", "life", "07:30", "sunset", "it.elec.voltage.a > 253 V", "guard"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*KEYS, "type", "each", "device", "point", "value", "set", "all", "severity", "from", "cron", "x"]), inner, max_size=4),
    ),
    max_leaves=8,
)  # fmt: skip
RULES = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8), max_size=3)


@settings(max_examples=300, deadline=None)
@given(RULES)
def test_a_rule_file_is_read_or_refused_with_places(rules: list[object]) -> None:
    import orjson

    try:
        document = parse_yaml(orjson.dumps({"rules": rules}, option=orjson.OPT_INDENT_2), "r.yaml")
    except (ConfigError, orjson.JSONEncodeError):
        return
    _, problems = load_rules([document], DEVICES, ["guard"])
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.said("zh")
        assert problem.fix
