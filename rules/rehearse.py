"""What an instance would do first if it became active now. Changes nothing. Pure."""

from rules.deeds import filled, said
from rules.flow import State
from rules.outputs import Claimed, Commanded, Logged, Notified
from rules.sequence import Deed, Note, Notice, Order, Run, Setting

Rehearsed = Claimed | Commanded | Notified | Logged


def rehearsed(state: State, rank: int, now: int) -> list[Rehearsed]:
    """The outputs of its steps up to their first waits, at engine time `now`, in order."""
    run = Run.of(state.rules.instances[rank].do)
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    return [_output(state, rank, deed) for deed in deeds]


def _output(state: State, rank: int, deed: Deed) -> Rehearsed:
    instance = state.rules.instances[rank]
    level = instance.rule.level
    match deed:
        case Setting(device, point, value, _, terms):
            return Claimed(instance.id, device, point, value, level, rank, terms)
        case Order(device, point, value, terms):
            return Commanded(instance.id, device, point, value, level, terms)
        case Notice():
            return said(state, rank, deed)
        case Note():
            return Logged(instance.id, filled(state, deed.text))
