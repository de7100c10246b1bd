"""The gateway as a device of its own: always there, without a section of the configuration."""

from collections.abc import Iterable

from gateway.driver import Device, DeviceSection
from gateway.point import Point
from gateway.profile import Profile, load_profile, shipped_folder

GATEWAY = "gateway"  # the id of the device, and of what events about no device are about
PROFILE = "gateway-self"
PROTOCOL = "gateway"  # no driver speaks it
UPLINK = "uplink.connected"


def own_device(sinks: Iterable[str] = ()) -> Device:
    """With a point for each of the destinations `sinks`, beside those of its profile."""
    profile, _ = load_profile(shipped_folder() / f"{PROFILE}.yaml")
    section = DeviceSection(profile=PROFILE, link=GATEWAY)
    return Device(GATEWAY, _with_uplinks(profile, sinks), section)


def uplink_point(sink: str) -> str:
    """`uplink.cloud_2.connected` of the upstream `cloud-2`: names of points have no hyphens, and
    begin with a letter.
    """
    name = sink.replace("-", "_")
    return f"uplink.{name if name[0].isalpha() else f'n{name}'}.connected"


def _with_uplinks(profile: Profile, sinks: Iterable[str]) -> Profile:
    like = profile.by_id[UPLINK]
    points: list[Point] = [like.model_copy(update={"id": uplink_point(name)}) for name in sinks]
    return profile.model_copy(update={"own_points": [*profile.own_points, *points]})
