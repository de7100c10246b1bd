"""What is said about profiles, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "profile.ucum": ("“{unit}”不是 UCUM 单位代码", "{fix}"),
    "profile.decimal_text": ("{shown} 不是十进制文本", '请加引号写成 "{value}"，以保持精确'),
    "profile.decimal": ("“{value}”不是十进制数", '例如："0.1"'),
    "profile.expression": ("“{value}”不是表达式：{why}", '例如："0.1 * ct" 或 "10 ** -dec"'),
    "profile.severity": ("“{value}”不是严重级别", "请写以下之一：{names}"),
    "profile.point_name": ("“{value}”不能作测点名", "请用 a-z、0-9、“_”和点号，例如 elec.voltage.a"),
    "profile.variable": ("“{value}”不能作变量名", "请用 a-z、0-9 和“_”，例如 ct"),
    "profile.variant": ("“{value}”不能作型号变体名", "请用 a-z、0-9、“_”和“-”，例如 gen2019"),
    "profile.versions": ("“{value}”不是版本范围", '例如：">=1.2" 或 ">=1.2, <2"'),
    "profile.array": ("“{value}”不是数组", "请以 {end} 结尾，例如 fire.device{end}"),
    "profile.range": ("{low} 到 {high} 之间没有数值", "请写 [{high}, {low}]"),
    "profile.alarm_name": ("“{value}”不能作名称", "请用 a-z、0-9、“_”和点号，例如 level.high"),
    "profile.alarm_condition": ("{value} 不是条件", '请写带引号的条件，例如 "fire.bus == fault"'),
    "profile.alarm_severity": ("{value} 不是告警级别", "请写 life、safety 或 operational"),
}  # fmt: skip
