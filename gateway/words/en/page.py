"""What pages of the command line say, in English."""

TEXTS: dict[str, str | tuple[str, str]] = {
    "count.device": "{count} device{plural}",
    "count.link": "{count} link{plural}",
    "count.rule": "{count} rule{plural}",
    "count.upstream": "{count} upstream{plural}",
    "count.problem": "{count} problem{plural}",
    "check.ok": "{file}: ok: {counts}",
    "check.refused": "{problems}: the configuration is refused",
    "check.warning": "warning: ",
}  # fmt: skip
