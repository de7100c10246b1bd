"""What pages of the command line say, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "count.device": "{count} 台设备",
    "count.link": "{count} 条链路",
    "count.rule": "{count} 条规则",
    "count.upstream": "{count} 个上级平台",
    "count.problem": "{count} 个问题",
    "check.ok": "{file}：正常：{counts}",
    "check.refused": "{problems}：配置被拒绝",
    "check.warning": "警告：",
}  # fmt: skip
