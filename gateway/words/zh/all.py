"""Every text in Chinese."""

from gateway.words.zh import alarm, config, expression, file, page, rule, value

TEXTS: dict[str, str | tuple[str, str]] = {
    **alarm.TEXTS,
    **config.TEXTS,
    **expression.TEXTS,
    **file.TEXTS,
    **page.TEXTS,
    **rule.TEXTS,
    **value.TEXTS,
}
