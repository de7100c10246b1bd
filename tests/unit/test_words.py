"""The catalogue of texts: both languages have all of it, and nothing is said beside it."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from string import Formatter

import pytest

from gateway.cli.main import main
from gateway.document import Document, Within
from gateway.words.text import CATALOGUES, Entry, fault, language_of, say, text
from tests.harness.catalogue import mentioned, plain, uses, yielded

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = CATALOGUES["en"], CATALOGUES["zh"]
# Texts of these are all in the catalogue.
COVERED = [
    *sorted((ROOT / "rules").glob("*.py")),
    *(ROOT / f"gateway/{name}.py" for name in (
        "allow", "assemble", "case", "case_operation", "case_read", "case_text", "config", "document",
        "driver", "endpoint", "fixture", "point", "profile_alarm", "profile_model", "recipients", "section_checks", "ranges", "sections", "settings",
        "site_limit", "store/settings", "sinks/settings", "sinks/influx_settings", "strategy", "table", "trial",
        "validate",
    )),
    *sorted((ROOT / "gateway/cli").glob("doctor_*.py")), ROOT / "drivers/modbus/budget.py", ROOT / "gateway/cli/influx_check.py",
    *(ROOT / f"drivers/{name}/settings.py" for name in ("ble", "modbus", "mqtt")),
]  # fmt: skip
# What these yield is too.
YIELDING = [
    ROOT / "gateway/profile_check.py",
    *(ROOT / f"drivers/modbus/{name}.py" for name in ("check", "check_point", "vectors")),
    *(ROOT / f"drivers/mqtt/{name}.py" for name in ("check", "spec")),
    *(ROOT / f"drivers/ble/{name}.py" for name in ("check", "characteristic")),
]
SOURCES = [
    path
    for part in ("gateway", "rules", "drivers")
    for path in (ROOT / part).rglob("*.py")
    if not path.is_relative_to(ROOT / "gateway/words")
]


def parts(entry: Entry) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else entry


def names(template: str) -> set[str]:
    """`plural` is the s of English."""
    found = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    return {re.split(r"[.\[]", name)[0] for name in found} - {"plural"}


def test_both_languages_have_every_text_with_the_same_arguments() -> None:
    assert ENGLISH.keys() == CHINESE.keys(), "add what is missing to gateway/words/en and /zh"
    for id_, entry in ENGLISH.items():
        other = CHINESE[id_]
        assert type(entry) is type(other), id_
        assert list(map(names, parts(entry))) == list(map(names, parts(other))), id_


@pytest.mark.parametrize("id_", CHINESE)
def test_a_chinese_text_is_chinese(id_: str) -> None:
    for template in parts(CHINESE[id_]):
        words = "".join(literal for literal, *_ in Formatter().parse(template))
        assert not re.search(r"[a-z]", words) or re.search(r"[\u4e00-\u9fff]", words) or id_ in {
            "check.ok"
        } or template.startswith(("例如", "{")), id_  # fmt: skip
        assert not re.search(r"[a-z] [a-z]+ [a-z]+ [a-z]", re.sub(r"`[^`]*`|“[^”]*”", "", words)), (
            id_
        )


def test_no_text_is_defined_twice() -> None:
    for language in CATALOGUES:
        found: dict[str, str] = {}
        for path in (ROOT / "gateway/words" / language).glob("*.py"):
            for id_ in re.findall(r'^    "([a-z_. ]+)":', path.read_text("utf-8"), re.MULTILINE):
                assert id_ not in found, f"{id_} in {path.name} and {found[id_]}"
                found[id_] = path.name


def test_every_use_names_a_text_and_gives_its_arguments() -> None:
    known: set[str] = set()
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        known |= mentioned(source)
        if "gateway.words.text" not in source:
            continue
        for use in uses(source):
            found = [id_ for id_ in ENGLISH if fnmatchcase(id_, use.id)]
            where = f"{path.relative_to(ROOT)}:{use.line}: {use.id}"
            assert found, f"{where}: no such text: add it to gateway/words/en and /zh"
            known.update(found if use.id.endswith("*") else ())
            for id_ in found if use.names is not None else ():
                wanted = set().union(*map(names, parts(ENGLISH[id_])))
                assert wanted == (use.names or set()) - {"plural"}, where
    unused = {id_ for id_ in ENGLISH if id_ not in known}
    assert not unused, "no source uses them: remove them from gateway/words/en and /zh"


@pytest.mark.parametrize("path", COVERED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_said_is_said_in_both_languages(path: Path) -> None:
    found = list(plain(path.read_text(encoding="utf-8")))
    for line, words in found:
        print(
            f"{path.relative_to(ROOT)}:{line}: '{words}' is English only. Give it an id: add\n"
            f'    "rule.some_name": ("what is wrong with {{name}}", "how to mend it"),\n'
            f"to gateway/words/en/*.py, the same in Chinese to gateway/words/zh/*.py, and write\n"
            f'    *fault("rule.some_name", name=...)    # from gateway.words.text import fault\n'
            f"in place of the two texts."
        )
    assert not found


@pytest.mark.parametrize("path", YIELDING, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_check_yields_is_said_in_both_languages(path: Path) -> None:
    found = list(yielded(path.read_text(encoding="utf-8")))
    assert not found, "English only: write `yield path, *fault(...)`"


def test_a_yielded_text_beside_the_catalogue_is_found() -> None:
    assert list(yielded('def f():\n    yield (*path, "at"), f"{x} is bad", "mend it"\n'))
    assert not list(yielded('def f():\n    yield (*path, "at"), *fault("at.none")\n'))


@pytest.mark.parametrize(
    "source",
    [
        'raise RuleError("bad", fix, 0, 1)',
        'what = f"{name} is bad"\n    raise wrong(what, say)',
        'report.problem(path, say, "mend it" if a else b)',
        'what, fix = "bad", say\n    report.note(path, what, fix)',
        'yield Finding(check, FAIL, "bad", command)',
    ],
)
def test_a_text_beside_the_catalogue_is_found(source: str) -> None:
    assert list(plain(f"def f():\n    {source}\n"))


def test_a_text_says_the_same_in_both_languages() -> None:
    what, fix = fault("unit.unknown", unit="bra", fix=text("suggest.near", near="bar"))
    assert f"{what}: {fix}" == "'bra' is no unit: did you mean 'bar'?"
    assert (say(what, "zh"), say(fix, "zh")) == ("“bra”不是单位", "是否想写“bar”？")
    assert say("as it is", "zh") == "as it is"
    assert say(text("suggest.all", names=["a", "b"]), "zh") == "请写以下之一：a、b"
    reason = ValueError(text("unit.unknown", unit="bra", fix=""))
    assert say(text("doctor.failed", why=reason), "zh") == "失败：“bra”不是单位"


def test_what_was_written_is_never_taken_for_a_template() -> None:
    what, _ = fault("unit.unknown", unit="{fix}{0.__class__}", fix="")
    assert what == "'{fix}{0.__class__}' is no unit"


@pytest.mark.parametrize(
    ("chosen", "environment", "language"),
    [
        ("zh", {"LANG": "en_US.UTF-8"}, "zh"),
        ("en", {"LC_ALL": "zh_CN.UTF-8"}, "en"),
        (None, {"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        (None, {"LC_ALL": "C", "LC_MESSAGES": "zh_CN", "LANG": "zh_CN"}, "en"),
        (None, {"LC_ALL": "", "LC_MESSAGES": "zh_TW.UTF-8", "LANG": "C"}, "zh"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LANG": "de_DE.UTF-8"}, "en"),
        (None, {}, "en"),
    ],
)
def test_the_language_is_what_was_chosen_else_that_of_the_locale(
    chosen: str | None, environment: dict[str, str], language: str
) -> None:
    assert language_of(chosen, environment) == language


def test_the_mark_stands_below_wide_characters_too() -> None:
    condition = 'it.door.state == "打开" and it.x'
    within = Within(condition, condition.index("打"), condition.index("开") + 1)
    line, mark = Document("a.yaml").problem((), "a", "b", within=within).excerpt.split("\n")
    assert line == condition
    assert mark == " " * 18 + "^^^^"  # four cells for two characters
    after = Within(condition, condition.index("it.x"), len(condition))
    mark = Document("a.yaml").problem((), "a", "b", within=after).excerpt.split("\n")[1]
    assert mark == " " * (condition.index("it.x") + 2) + "^^^^"


SITE = """\
version: 1
gateway: {id: gw-demo-01, timezone: Asia/Shanghai, state_dir: state}
links: {meters: {driver: modbus, transport: tcp, host: 127.0.0.1, port: 5020}}
devices: {meter-1: {profile: eastron-sdm120, link: meters, unit: 1}}
rules: [rules.yaml]
"""
RULES = """\
rules:
- id: r
  for_each: {type: meter}
  when: it.elec.voltage.a > 253
  alarm: {severity: operational}
"""


def test_check_speaks_the_language_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gateway.yaml").write_text(SITE)
    (tmp_path / "rules.yaml").write_text(RULES)
    check = ["check", str(tmp_path / "gateway.yaml")]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert main(check) == 78
    chinese = capsys.readouterr().out.splitlines()
    assert chinese[0].endswith(
        "rules.yaml:4:29: rules[0].when: 数值没有单位，而另一边是电压：例如：253 V"
    )
    assert chinese[1:] == [
        "    it.elec.voltage.a > 253", "                        ^^^", "1 个问题：配置被拒绝"
    ]  # fmt: skip
    assert main([*check, "--lang", "en"]) == 78
    english = capsys.readouterr().out.splitlines()
    assert "number without a unit, but the other side is a voltage: write e.g. 253 V" in english[0]
    assert english[3] == "1 problem: the configuration is refused"
    assert main([*check, "--json", "--lang", "zh"]) == 78
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["id"], problem["what"]) == ("unit.missing", "数值没有单位，而另一边是电压")
    (tmp_path / "rules.yaml").write_text(RULES.replace("253", "253 V"))
    assert main(check) == 0
    assert "正常：1 台设备、1 条链路、1 条规则、0 个上级平台" in capsys.readouterr().out
