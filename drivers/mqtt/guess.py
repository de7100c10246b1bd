"""Which profile fits somebody who speaks and is not configured yet. Pure."""

from collections.abc import Iterable, Sequence

from gateway.profile import Profile

VALUES = "values."  # as in `Strangers`: a key below `values` of the native dialect
ENOUGH = 0.5  # of the points that it names; below, a profile is no guess but a coincidence


def guess(keys: Sequence[str], profiles: Iterable[Profile]) -> Profile | None:
    """The MQTT profile that knows most of what a payload names; None if none knows half of it."""
    named = {key.removeprefix(VALUES) for key in keys if key.startswith(VALUES)}
    best, most = None, 0.0
    for profile in profiles:
        if profile.dialect != "native" or not named:
            continue
        known = len(named & profile.by_id.keys()) / len(named)
        if known >= ENOUGH and known > most:
            best, most = profile, known
    return best
