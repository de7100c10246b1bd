"""The report as one HTML file that needs nothing else, for a phone, a screen and paper."""

from datetime import UTC, datetime
from html import escape
from zoneinfo import ZoneInfo

from gateway.indicators.model import Chart, Indicator, Sheet
from gateway.indicators.phrase import grouped, phrase, share, verdict
from gateway.indicators.plot import COLOURS, bars
from gateway.indicators.words import Language, text

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;
font:1.15rem/1.5 system-ui,"Noto Sans CJK TC","PingFang TC",sans-serif;color:#111;background:#fff}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.45rem;margin:2rem 0 .5rem}
h3{font-size:1.1rem;margin:1rem 0 .25rem}p{margin:.4rem 0}
.sum{font-size:1.35rem;font-weight:700}.soft{color:#444}svg{width:100%;height:auto;font-size:18px}
.card{border-top:1px solid #bbb;padding:.6rem 0;break-inside:avoid;overflow-wrap:anywhere}
.card b{font-size:1.35rem}
.line{display:flex;flex-wrap:wrap;gap:.2rem 1rem;justify-content:space-between;align-items:baseline}
.small{font-size:.95rem;color:#444}.good{color:#005a32}.bad{color:#a50026}.open{color:#444}
.key{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 .8em}
@media (max-width:40rem){svg{font-size:28px}}
@media print{body{font-size:11pt;max-width:none;padding:0}h2{break-after:avoid}}
"""


def html(sheet: Sheet, language: Language) -> str:
    title = f"{text('title', language)} · {sheet.name or sheet.gateway}"
    charts = {chart.id: chart for chart in sheet.charts}
    parts = [_head(sheet, title, language)]
    for group, indicators in grouped(sheet).items():
        if not indicators:
            continue
        parts.append(f"<section><h2>{escape(text(group, language))}</h2>")
        if group in charts:
            parts.append(_chart(charts[group], sheet, language))
        parts += [_card(indicator, language) for indicator in indicators]
        parts.append("</section>")
    parts.append(_foot(sheet, language))
    code = "zh-Hans" if language == "zh" else "en"
    return (
        f'<!doctype html><html lang="{code}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        + "".join(parts) + "</body></html>\n"
    )  # fmt: skip


def local(t: int, sheet: Sheet, form: str = "%Y-%m-%d %H:%M") -> str:
    return datetime.fromtimestamp(t, UTC).astimezone(ZoneInfo(sheet.zone)).strftime(form)


def period(sheet: Sheet, language: Language) -> str:
    since, until = local(sheet.period.since, sheet), local(sheet.period.until, sheet)
    return text("period", language, since=since, until=until, zone=sheet.zone)


def summary(sheet: Sheet, language: Language) -> str:
    judged = [v for indicator in sheet.indicators if (v := verdict(indicator)) in {"good", "bad"}]
    if not judged:
        return text("none", language)
    return text("summary", language, good=judged.count("good"), all=len(judged))


def hours(sheet: Sheet, language: Language) -> str:
    settings = sheet.settings
    peak, valley = (", ".join(map(str, spans)) or "–" for spans in (settings.peak, settings.valley))
    timely = f"{settings.timely_within:g}"
    return text("hours", language, peak=peak, valley=valley, night=settings.night, timely=timely)


def _head(sheet: Sheet, title: str, language: Language) -> str:
    known = text("covered", language, share=share(100 * sheet.period.coverage))
    kind = text("week" if sheet.week else "day", language)
    return (
        f"<h1>{escape(title)}</h1><p>{escape(kind)} · {escape(period(sheet, language))}</p>"
        f'<p class="sum">{escape(summary(sheet, language))}</p><p class="soft">{escape(known)}</p>'
    )


def _card(indicator: Indicator, language: Language) -> str:
    said = phrase(indicator, language)
    target = ""
    if said.verdict:
        word = text(said.verdict, language)
        target = f'<span class="{said.verdict}">{escape(said.target)}: {escape(word)}</span>'
    labels = f"{text('count', language)} {said.counted} · {text('known', language)} {said.known}"
    return (
        f'<div class="card"><div class="line"><span>{escape(said.name)}</span><b>{escape(said.value)}</b></div>'
        f'<div class="line small"><span>{escape(labels)}</span>{target}</div>'
        f'<div class="small">{escape(said.formula)}</div></div>'
    )


def _chart(chart: Chart, sheet: Sheet, language: Language) -> str:
    title = text(f"chart_{chart.id}", language)
    form = "%m-%d" if sheet.week else "%H"
    labels = [local(start, sheet, form) for start in chart.starts]
    keys = "".join(
        f'<span class="key" style="background:{COLOURS[name]}"></span>{escape(text(name, language))}'
        for name in chart.bars
    )
    plot = bars(title, labels, chart.bars, beside=chart.id == "lights")
    return f'<h3>{escape(title)}</h3>{plot}<p class="small">{keys}</p>'


def _foot(sheet: Sheet, language: Language) -> str:
    made = text("made", language, made=local(int(sheet.made.timestamp()), sheet))
    lines = (text("meaning", language), text("basis", language), hours(sheet, language), made)
    return "<hr>" + "".join(f'<p class="small">{escape(line)}</p>' for line in lines)
