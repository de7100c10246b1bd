"""What is said about the life of alarms, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "life.shelve_max": ("{seconds:g} s 不行", "请写大于 0、至多 8h"),
    "life.realarm": ("无人确认的报警不能有 `realarm`", "请删除它，或删除 ack: none"),
    "life.circle": ("报警互相抑制：{chain}", "请去掉其中一个"),
    "life.no_alarm": ("“{name}” 不是带报警的规则", "{fix}"),
    "life.no_tag": ("{name} 没有标签“{tag}”", "{fix}"),
    "life.no_tags": ("{name} 没有标签“{tag}”", "请给它写 for_each，或去掉 group_by"),
    "life.stage": ("一级升级须恰好有 `notify` 与 `do` 之一", "例如请写 notify: {{to: duty-manager}}"),
    "life.levels": ("级别没有逐级升高", "请让每一级比前一级、也比报警本身更严重"),
    "life.stages": ("升级没有按时间排序", "请把先发生的写在前面"),
    "life.storm_name": ("“{name}”已是规则或报警风暴的名字", "请给风暴另取名字"),
    "digest.no_group": ("“{name}”不是 `with` 里的设备组", "{fix}"),
    "digest.no_column": ("“{name}”既不是这些设备的测点，也不是标签", "{fix}"),
    "digest.none": ("规则没有 `digest`", "请在 do 旁写 digest: {{list: …, where: …}}"),
    "life.not_implied": ("“{level}”成立时“{base}”可能不成立：级别只在报警存在时才算", "请选比报警本身更远的界限"),
}  # fmt: skip
