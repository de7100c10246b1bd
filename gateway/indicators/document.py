"""The report as JSON, with everything that a reviewer needs to compute it again."""

import orjson

from gateway.indicators.model import Indicator, Period, Sheet
from gateway.store.record import iso

NS = 1_000_000_000


def document(sheet: Sheet) -> bytes:
    period, settings = sheet.period, sheet.settings
    return orjson.dumps(
        {
            "report": 1, "gateway": sheet.gateway, "name": sheet.name, "timezone": sheet.zone,
            "made": f"{sheet.made:%Y-%m-%dT%H:%M:%SZ}", "kind": "week" if sheet.week else "day",
            "period": _period(period), "coverage": period.coverage,
            "settings": settings.model_dump(mode="json"),
            "settings_of_this_compound": sorted(settings.model_fields_set),
            "indicators": [_indicator(indicator, period) for indicator in sheet.indicators],
            "charts": [
                {"id": c.id, "unit": c.unit, "starts": [iso(t * NS) for t in c.starts], "bars": c.bars}
                for c in sheet.charts
            ],
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )  # fmt: skip


def _period(period: Period) -> dict[str, str]:
    return {name: iso(round(t * NS)) for name, t in period._asdict().items()}


def _indicator(indicator: Indicator, period: Period) -> dict[str, object]:
    goal = indicator.target
    return {
        **indicator._asdict(),
        "window": {"since": iso(period.since * NS), "until": iso(period.until * NS)},
        "target": None if goal is None else {**goal._asdict(), "met": _met(indicator)},
    }


def _met(indicator: Indicator) -> bool | None:
    if indicator.target is None or indicator.value is None:
        return None
    return indicator.target.met(indicator.value)
