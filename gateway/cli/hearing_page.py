"""What `gateway devices DEVICE` says of a device on the radio: would an alarm be heard, and why."""

from collections.abc import Iterator

from gateway.snapshot import HearingPart

_BAR = 40  # signs of the longest bar


def lines(part: HearingPart) -> Iterator[str]:
    yield f"Would an alarm be heard? {part['heard']}: {part['why']}"
    if part["silent_s"] is None:
        return
    share = "" if part["share"] is None else f", {part['share']:.0%} of what it sends"
    rssi = "" if part["rssi"] is None else f", {part['rssi']} dBm"
    yield f"  {part['adverts']} receptions in the last hours{share}{rssi}"
    yield f"  last one {part['silent_s']:.0f} s ago, longest gap {part['longest_gap_s']:.1f} s"
    most = max(part["gaps"].values(), default=0)
    for length, count in part["gaps"].items():
        yield f"  {length:>8}  {'#' * max(1, round(_BAR * count / most))} {count}"
