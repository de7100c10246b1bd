"""What is said about the life of alarms, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "life.shelve_max": ("{seconds:g} s 不行", "请写大于 0、至多 8h"),
    "life.group_by": ("没有 `suppressed_by` 时 `group_by` 不起作用", "请删除"),
    "life.realarm": ("无人确认的报警不能有 `realarm`", "请删除它，或删除 ack: none"),
    "life.circle": ("报警互相抑制：{chain}", "请去掉其中一个"),
    "life.no_alarm": ("“{name}” 不是带报警的规则", "{fix}"),
    "life.no_tag": ("{name} 没有标签“{tag}”", "{fix}"),
    "life.no_tags": ("{name} 没有标签“{tag}”", "请给它写 for_each，或去掉 group_by"),
}  # fmt: skip
