"""Which devices a rule is for."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.document import Path_, suggest
from gateway.model import NO_ATTRIBUTES
from gateway.profile import Profile
from gateway.site_limit import SiteLimit
from gateway.words.text import fault
from rules.check import Report
from rules.section import Each, Group, Selector


class DeviceView(NamedTuple):
    """What rules need to know of a configured device.

    `limits` are the numbers that alarms of its profile ask for; `labels` say by array and number
    of the element what this is, for people. `supervise` is after how many seconds of silence the
    device is missing. `poll`: how often it is asked, fast and slow, in seconds; None for one that
    speaks when it likes.
    """

    id: str
    profile: Profile
    tags: Mapping[str, str]
    limits: Mapping[str, SiteLimit] = MappingProxyType({})
    labels: Mapping[str, Mapping[str, str | Mapping[str, str]]] = MappingProxyType({})
    supervise: float | None = None
    poll: tuple[float, float] | None = None


class Target(NamedTuple):
    """What one instance is for. `key` names it in brackets; `members` are the devices of a group;
    `tags` stand for `{tag}` in names of devices. `about` goes with the events of its alarm.

    Of an alarm of a profile: the `element` of the arrays that it reads, `[3]`, what this is (`said`,
    for the title), and the `limits` of the device.
    """

    key: str
    it: DeviceView | None
    members: tuple[DeviceView, ...]
    tags: Mapping[str, str]
    about: Mapping[str, object] = NO_ATTRIBUTES
    element: str = ""
    said: str = ""
    limits: Mapping[str, SiteLimit] | None = None


class Site:
    """The configured devices, ordered so that selecting does not look at each for every rule."""

    def __init__(self, devices: Sequence[DeviceView]) -> None:
        self._by_id = {device.id: device for device in devices}
        self._tags = {key for device in devices for key in device.tags}
        self._by_tag: dict[tuple[str, str], list[DeviceView]] = {}
        for device in devices:
            for tag in device.tags.items():
                self._by_tag.setdefault(tag, []).append(device)
        self._profiles = {device.profile.profile: device.profile for device in devices}

    def profile_of(self, device: str) -> Profile:
        return self._by_id[device].profile

    def targets(self, selector: Each | None, report: Report) -> list[Target]:
        """One for each instance of a rule, by key; one without devices where it has no `for_each`."""
        if selector is None:
            return [Target("", None, (), {})]
        devices = self.select(selector, report, ("for_each",))
        if selector.each is None:
            return [Target(device.id, device, (), device.tags) for device in devices]
        groups: dict[tuple[str, ...], list[DeviceView]] = {}
        for device in devices:
            missing = [tag for tag in selector.each if tag not in device.tags]
            if missing:
                lacks = fault("rule.lacks_tag", device=device.id, tag=missing[0])
                report.problem(("for_each", "each"), *lacks)
                return []
            groups.setdefault(tuple(device.tags[tag] for tag in selector.each), []).append(device)
        found = []
        for key in sorted(groups):
            tags = dict(zip(selector.each, key, strict=True))
            found.append(Target("/".join(key), None, tuple(groups[key]), tags, tags))
        return found

    def device(self, name: str) -> DeviceView | None:
        return self._by_id.get(name)

    @property
    def names(self) -> Collection[str]:
        return self._by_id.keys()

    def group(
        self, selector: Group, target: Target, among: Sequence[DeviceView]
    ) -> list[DeviceView]:
        """Those of `among` (what `selector` selects) that go with `target`."""
        return [
            device
            for device in among
            if all(device.tags.get(tag) == target.tags.get(tag) for tag in selector.same)
            and not (selector.except_it and target.it is not None and device.id == target.it.id)
        ]

    def select(self, selector: Selector, report: Report, path: Path_) -> list[DeviceView]:
        """The devices that fit `selector`, by id. What can only be a slip of the pen is a problem."""
        before = len(report.problems)
        for index, name in enumerate(selector.id or []):
            if name not in self._by_id:
                unknown = fault("value.no_device", name=name, fix=suggest(name, self._by_id))
                report.problem((*path, "id", index), *unknown)
        for key in selector.tags or {}:
            if key not in self._tags:
                unknown = fault("rule.no_tag", tag=key, fix=suggest(key, self._tags))
                report.problem((*path, "tags", key), *unknown, key=True)
        profiles = {n for n, profile in self._profiles.items() if _fits_profile(selector, profile)}
        selected = [
            device
            for device in self._candidates(selector)
            if device.profile.profile in profiles and _fits_device(selector, device)
        ]
        if not selected and len(report.problems) == before:
            where, what, fix = self._empty(selector)
            report.note((*path, *where), what, fix)
        return sorted(selected, key=lambda device: device.id)

    def _candidates(self, selector: Selector) -> Iterable[DeviceView]:
        """A short list that has every device that fits `selector`."""
        if selector.id is not None:
            return [self._by_id[name] for name in set(selector.id) if name in self._by_id]
        if selector.tags:
            return min((self._by_tag.get(tag, []) for tag in selector.tags.items()), key=len)
        return self._by_id.values()

    def _empty(self, selector: Selector) -> tuple[Path_, str, str]:
        """Why `selector` finds nothing: a key that no device fits, else the keys together."""
        profiles = self._profiles.values()
        known = {
            "type": {profile.type for profile in profiles},
            "profile": set(self._profiles),
            "has": {point for profile in profiles for point in profile.by_id},
        }
        for key, values in known.items():
            wanted = getattr(selector, key)
            if wanted is not None and wanted not in values:
                return (key,), *fault(f"rule.none_has.{key}", wanted=wanted, fix=suggest(wanted, values))  # fmt: skip
        return (), *fault("rule.none_fits")


def _fits_profile(selector: Selector, profile: Profile) -> bool:
    return (
        (selector.type is None or profile.type == selector.type)
        and (selector.profile is None or profile.profile == selector.profile)
        and (selector.has is None or selector.has in profile.by_id)
    )


def _fits_device(selector: Selector, device: DeviceView) -> bool:
    tags = selector.tags
    return tags is None or all(device.tags.get(key) == value for key, value in tags.items())
