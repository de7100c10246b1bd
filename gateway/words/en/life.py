"""What is said about the life of alarms, in English."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "life.shelve_max": ("{seconds:g} s", "write more than 0 and at most 8h"),
    "life.realarm": ("`realarm` of an alarm that nobody acknowledges", "remove it, or ack: none"),
    "life.circle": ("alarms suppress each other: {chain}", "leave one of them out"),
    "life.no_alarm": ("'{name}' is no rule with an alarm", "{fix}"),
    "life.no_tag": ("{name} has no tag '{tag}'", "{fix}"),
    "life.no_tags": ("{name} has no tag '{tag}'", "let it have for_each, or leave group_by out"),
    "life.stage": ("a stage without exactly one of `notify` and `do`", "write notify: {{to: duty-manager}}"),
    "life.levels": ("severities that do not rise", "order levels so that each is more severe than the one before, and than the alarm"),
    "life.stages": ("stages that are not in order", "write the one that comes first first"),
    "life.storm_name": ("'{name}' is a rule or a storm already", "give the storm another name"),
    "digest.no_group": ("'{name}' is no group of `with`", "{fix}"),
    "digest.no_column": ("'{name}' is neither a point nor a tag of these devices", "{fix}"),
    "digest.none": ("the rule has no `digest`", "write digest: {{list: ..., where: ...}} beside do"),
    "life.not_implied": ("'{level}' can hold while '{base}' does not: the level counts only while the alarm stands", "choose a limit beyond that of the alarm"),
}  # fmt: skip
