"""Every text in English."""

from gateway.words.en import (
    alarm,
    case,
    config,
    doctor,
    expression,
    file,
    life,
    link,
    live,
    page,
    profile,
    rule,
    settings,
    table,
    template,
    value,
)

TEXTS: dict[str, str | tuple[str, str]] = {
    **alarm.TEXTS,
    **case.TEXTS,
    **config.TEXTS,
    **doctor.TEXTS,
    **expression.TEXTS,
    **file.TEXTS,
    **life.TEXTS,
    **link.TEXTS,
    **live.TEXTS,
    **page.TEXTS,
    **profile.TEXTS,
    **rule.TEXTS,
    **settings.TEXTS,
    **table.TEXTS,
    **template.TEXTS,
    **value.TEXTS,
}
