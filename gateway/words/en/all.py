"""Every text in English."""

from gateway.words.en import (
    alarm,
    config,
    expression,
    file,
    life,
    live,
    page,
    rule,
    template,
    value,
)

TEXTS: dict[str, str | tuple[str, str]] = {
    **alarm.TEXTS,
    **config.TEXTS,
    **expression.TEXTS,
    **file.TEXTS,
    **life.TEXTS,
    **live.TEXTS,
    **page.TEXTS,
    **rule.TEXTS,
    **template.TEXTS,
    **value.TEXTS,
}
