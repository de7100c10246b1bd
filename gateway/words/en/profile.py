"""What is said about profiles, in English."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "profile.ucum": ("'{unit}' is no UCUM code", "{fix}"),
    "profile.decimal_text": ("{shown} is not a decimal text", 'write "{value}" in quotes, so that it stays exact'),
    "profile.decimal": ("'{value}' is no decimal number", 'write e.g. "0.1"'),
    "profile.expression": ("'{value}' is no expression: {why}", 'write e.g. "0.1 * ct" or "10 ** -dec"'),
    "profile.severity": ("'{value}' is no severity", "write one of {names}"),
    "profile.point_name": ("'{value}' is no point name", "use a-z, 0-9, '_' and dots, e.g. elec.voltage.a"),
    "profile.variable": ("'{value}' is no name of a variable", "use a-z, 0-9 and '_', e.g. ct"),
    "profile.variant": ("'{value}' is no name of a variant", "use a-z, 0-9, '_' and '-', e.g. gen2019"),
    "profile.versions": ("'{value}' is no range of versions", 'write e.g. ">=1.2" or ">=1.2, <2"'),
    "profile.array": ("'{value}' is no array", "end it with {end}, e.g. fire.device{end}"),
    "profile.range": ("no number is in {low} to {high}", "write [{high}, {low}]"),
    "profile.alarm_name": ("'{value}' is no name", "use a-z, 0-9, '_' and dots, e.g. level.high"),
    "profile.alarm_condition": ("{value} is no condition", 'write a condition in quotes, e.g. "fire.bus == fault"'),
    "profile.alarm_severity": ("{value} is no severity of an alarm", "write life, safety or operational"),
}  # fmt: skip
