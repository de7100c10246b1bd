"""What saves lives acts on nothing that a stranger with a radio can send, and on witnesses that are two."""

from collections.abc import Iterator, Mapping

from gateway.driver import Device, DriverSpec
from gateway.words.text import fault
from rules.model import RuleSet


def forged(
    rules: RuleSet, devices: Mapping[str, Device], specs: Mapping[str, DriverSpec]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(path, what is wrong, fix) of each device that a rule of priority or severity life acts on
    although anybody could send its messages. `specs`: drivers by link.
    """
    for instance, name, _point in rules.vital():
        spec = specs.get(devices[name].section.link)
        why = spec.forgeable(devices[name]) if spec is not None and spec.forgeable else None
        if why is not None:
            fix = "give it a key, or write `act_on_plain: true`"
            yield ("devices", name), f"rule {instance.rule.id} acts on {name}: {why}", fix


def dependent(
    rules: RuleSet, devices: Mapping[str, Device], specs: Mapping[str, DriverSpec]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(path, what, fix) of each device that confirms another one for such a rule, and has its address
    or key: it may be the same device, or one that anybody can imitate who has opened the other.
    """
    owners: dict[tuple[str, str, str], str] = {}
    told: set[tuple[str, str]] = set()
    for instance, name, _point in rules.vital():
        spec = specs.get(devices[name].section.link)
        marks = spec.marks(devices[name]) if spec is not None and spec.marks else {}
        for mark, value in marks.items():
            owner = owners.setdefault((instance.id, mark, value), name)
            if owner != name and (owner, name) not in told:
                told.add((owner, name))
                rule = instance.rule.id
                what = fault("config.dependent", rule=rule, name=name, other=owner, mark=mark)
                yield ("devices", name), *what
