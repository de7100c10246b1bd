"""Times as operators write them."""

from datetime import UTC, datetime, timedelta

from gateway.amount import AmountError, duration


def moment_ns(text: str | None, default_ns: int) -> int:
    """Ns since 1970 of an ISO 8601 date or time (UTC unless it says otherwise), or of `2h`: so long
    ago. Raises ValueError.
    """
    if text is None:
        return default_ns
    try:
        if text[-1:].isalpha() and text[-1] != "Z":
            ago_s = duration(text)
            then = datetime.now(UTC) - timedelta(seconds=ago_s)
        else:
            then = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        what = f"'{text}' is no time"
        raise ValueError(f"{what}: write e.g. 2026-03-01T18:00Z, or 2h for two hours ago") from None
    since_1970 = then.replace(tzinfo=then.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since_1970 // timedelta(microseconds=1) * 1_000


def seconds(text: str) -> int:
    """Of `10s`, `5m`, `1h`: whole seconds, at least one. Raises ValueError."""
    try:
        found = duration(text)
    except AmountError:
        found = 0.0
    if found < 1 or found != int(found):
        raise ValueError(f"'{text}' is no step: write e.g. 10s, 5m or 1h, in whole seconds")
    return int(found)


def span_s(text: str) -> float:
    """Of `30m`, `2h`, `7d`: seconds, more than none. Raises ValueError."""
    try:
        found = duration(text)
    except AmountError:
        found = 0.0
    if not found > 0:
        raise ValueError(f"'{text}' is no duration: write e.g. 30m, 2h or 7d")
    return found
