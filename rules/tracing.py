"""Takes down what is known at a transition. Pure."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice

from rules.flow import State, read
from rules.model import Instance
from rules.nodes import NEVER_NS
from rules.outputs import Output
from rules.standing import phase_of
from rules.trace import POINTS, Known, Test, Trace


def moved(
    state: State, rank: int, act: Callable[[], list[int]], outputs: list[Output]
) -> list[int]:
    """Do what may change the phase of an instance, and remember it if it does."""
    if state.traces is None:
        return act()
    was, due, first = phase_of(state, rank), state.marks[rank], len(outputs)
    concerned = act()
    after = phase_of(state, rank)
    if after != was:
        keep(state, rank, (was, after), outputs[first:], due)
    return concerned


def keep(
    state: State, rank: int, phases: tuple[str, str], outputs: Sequence[Output], due: int = 0
) -> None:
    """Remember a transition of an instance, which would have waited until `due`."""
    if state.traces is None:
        return
    instance, now, (was, after) = state.rules.instances[rank], state.now, phases
    wait = {"pending": instance.rule.for_ns, "clearing": instance.rule.keep_ns}.get(was, 0)
    waited = min(max(0, wait - (due - now)), wait)
    places = points(state, instance, now)
    seen = tuple(islice(places, POINTS))
    own = tuple(output for output in outputs if output.instance == instance.id)
    state.traces.keep(Trace(
        now, state.n, instance.rule.id, instance.id, fingerprint(instance), was, after, waited, wait,
        tuple(_tests(state, instance)), seen, sum(1 for _ in places), own,
    ))  # fmt: skip


def later(state: State, rank: int, outputs: Sequence[Output]) -> None:
    """Remember what steps of an instance did that had waited."""
    if state.traces is not None and outputs:
        state.traces.later(state.rules.instances[rank].id, outputs)


def points(state: State, instance: Instance, now: int) -> Iterator[Known]:
    """What the conditions of an instance read, as it is known at engine time `now`."""
    for device, point in state.rules.reads(instance):
        slot = state.rules.slots[device][point]
        value, stamp, stale = state.values[slot], state.stamps[slot], state.rules.stale_ns[slot]
        age = None if stamp < 0 else now - stamp
        if value is not None or age is None:
            yield Known(device, point, value, age, "" if value is not None else "never seen")
        elif stale < NEVER_NS and age >= stale:
            yield Known(device, point, None, age, "too old", age - stale)
        else:
            yield Known(device, point, None, age, "bad", age)


def fingerprint(instance: Instance) -> str:
    """Of what the rule does, without its texts for people."""
    rule = instance.rule._replace(title="")
    until = "" if instance.until is None else instance.until.text
    said = repr((rule, instance.when.text, until))
    return blake2b(said.encode(), digest_size=6).hexdigest()


def _tests(state: State, instance: Instance) -> Iterator[Test]:
    if instance.during is not None:
        yield Test("during", None, (state.values[instance.during],))
    keys = ("when", "until")
    for key, test in zip(keys, instance.tests, strict=False):
        yield Test(key, test, tuple(read(state, test)))
