"""What can be said of instances before anything happens: which are decided the short way. Pure."""

from rules.model import Instance, RuleSet
from rules.term import Run

# Of an instance whose condition says all: how to compute `when`, of which inputs, and whether
# there is an `until`.
Quick = tuple[Run, tuple[int, ...], bool]


def quick(rules: RuleSet) -> list[Quick | None]:
    """By rank; None: more than its condition counts."""
    apart = rules.members.keys() | rules.storms.keys()
    return [
        None if rank in apart else _quick(instance) for rank, instance in enumerate(rules.instances)
    ]


def _quick(instance: Instance) -> Quick | None:
    if instance.levels or instance.during is not None or instance.at is not None:
        return None
    return instance.when.run, instance.when.inputs, instance.until is not None
