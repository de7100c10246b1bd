"""What saves lives acts on nothing that a stranger with a radio can send."""

from collections.abc import Iterator, Mapping

from gateway.driver import Device, DriverSpec
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
