"""An alarm whose delay ended while the gateway was off: it is raised when its condition is confirmed.

Nobody saw what happened meanwhile. Known and true: raised at once. Known and false: it is over.
Unknown: it is held until it is known, or for as long as a condition may be unknown. Pure.
"""

from gateway.model import Severity
from rules.activation import inside, raise_
from rules.flow import TOLD, Phase, State
from rules.model import LEVELS, Instance, Rule
from rules.outputs import Held, Logged, Output, Raised


def confirm(
    state: State, rank: int, holds: bool | None, now: int, outputs: list[Output]  # noqa: FBT001 -- the condition
) -> list[int]:  # fmt: skip
    """Decide an instance that is held; `holds` is its condition. Returns the ranks that this concerns."""
    if not inside(state, state.rules.instances[rank]):
        holds = False
    if holds is None:
        return _unknown(state, rank, now, outputs)
    state.unknown.pop(rank, None)
    return _confirmed(state, rank, now, outputs) if holds else _over(state, rank, now, outputs)


def _unknown(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    instance = state.rules.instances[rank]
    rule, since = instance.rule, state.held[rank]
    if since == TOLD or now - since < rule.unknown_ns:
        return []
    if rule.on_unknown == "assume_false":
        return _over(state, rank, now, outputs)
    if rule.on_unknown == "assume_true" or _life(rule):
        return _confirmed(state, rank, now, outputs, unconfirmed=True)
    state.held[rank] = TOLD
    state.touched.add(rank)
    outputs.append(waits(instance, now - state.marks[rank]))
    return []


def waits(one: Instance, late_ns: int, over: str = "") -> Held:
    """That it waits for data, or why no longer."""
    severity = one.rule.severity or Severity.OPERATIONAL
    return Held(one.id, one.rule.id, one.device, severity, one.shown, late_ns, one.about, over)


def _life(rule: Rule) -> bool:
    return rule.level == LEVELS["life"] or rule.severity is Severity.LIFE


def _confirmed(
    state: State, rank: int, now: int, outputs: list[Output], *, unconfirmed: bool = False
) -> list[int]:
    del state.held[rank]
    state.touched.add(rank)
    late, first = now - state.marks[rank], len(outputs)
    concerned = raise_(state, rank, now, outputs)
    for index, output in enumerate(outputs[first:], first):
        if isinstance(output, Raised):
            outputs[index] = output._replace(late_ns=late, unconfirmed=unconfirmed)
            break
    return concerned


def _over(state: State, rank: int, now: int, outputs: list[Output]) -> list[int]:
    if state.held.pop(rank) == TOLD:
        instance, late_ns = state.rules.instances[rank], now - state.marks[rank]
        outputs.append(waits(instance, late_ns, "its condition does not hold"))
    state.touched.add(rank)
    state.holds[rank], state.phases[rank] = False, Phase.NORMAL
    late = (now - state.marks[rank]) / 1e9
    why = f"was due {late:.1f} s ago while the gateway was off, and its condition does not hold"
    outputs.append(Logged(state.rules.instances[rank].id, why))
    return []
