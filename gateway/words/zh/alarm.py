"""What is said about alarms of profiles, in Chinese."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "alarm.unasked": ("设备模板“{profile}”的告警不用限值“{name}”", "{fix}"),
    "alarm.no_limit": ("没有限值“{name}”：设备模板“{profile}”的相关告警不起作用", "请加上，例如 limits: {{{name}: 3{unit}}}"),
    "alarm.no_labels": ("{array} 没有标注：告警只能报元素编号", "请加上，例如 labels: {{{array}: {{{first}: {{place: 3F}}}}}}"),
    "alarm.no_array": ("设备模板“{profile}”没有可标注的数组“{name}”", "{fix}"),
    "alarm.no_element": ("{array} 没有元素 {index}", "请写 {first} 到 {last}"),
    "alarm.elements": ("`{key}` 与 `when` 针对的元素不同", "请两处都写 [*]，且数组元素相同"),
}  # fmt: skip
