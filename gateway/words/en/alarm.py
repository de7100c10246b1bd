"""What is said about alarms of profiles, in English."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "alarm.unasked": ("no alarm of profile '{profile}' asks for a limit '{name}'", "{fix}"),
    "alarm.no_limit": ("no limit '{name}': alarms of profile '{profile}' are off without it", "add e.g. limits: {{{name}: 3{unit}}}"),
    "alarm.no_labels": ("no labels for {array}: alarms tell the numbers of its elements only", "add e.g. labels: {{{array}: {{{first}: {{place: 3F}}}}}}"),
    "alarm.no_array": ("profile '{profile}' has no array '{name}' with labels", "{fix}"),
    "alarm.no_element": ("{array} has no element {index}", "write {first} to {last}"),
    "alarm.elements": ("`{key}` is not for the same elements as `when`", "write [*] in both, of arrays with the same elements"),
}  # fmt: skip
