"""Every text in English."""

from gateway.words.en import alarm, config, expression, file, page, rule, value

TEXTS: dict[str, str | tuple[str, str]] = {
    **alarm.TEXTS,
    **config.TEXTS,
    **expression.TEXTS,
    **file.TEXTS,
    **page.TEXTS,
    **rule.TEXTS,
    **value.TEXTS,
}
