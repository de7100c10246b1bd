"""What the steps of a rule do, and how the state remembers what they hold. Pure."""

from heapq import heappush

from gateway.model import Outcome, Value
from rules.flow import Kind, State, Timer
from rules.listing import listed
from rules.outputs import Answer, Claimed, Commanded, Logged, Notified, Output, Ref, Released
from rules.sequence import Deed, Message, Note, Notice, Order, Run, Setting, Steps, Thread
from rules.standing import muted, severity

# After these the device does not do what it should. What gave way to something newer or stronger
# has not failed.
FAILED = frozenset(
    {Outcome.FAILED, Outcome.UNCONFIRMED, Outcome.REFUSED, Outcome.EXPIRED, Outcome.UNKNOWN}
)


def tell_again(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """An alarm that goes on is news again: those who hear of its begin hear of it once more."""
    run = Run.of(state.rules.instances[rank].do)
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    outputs += [_done(state, rank, deed, now) for deed in deeds if isinstance(deed, Notice)]


def hold_again(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """After a restart: what is held from the beginning of an activation on. Nobody is told twice."""
    run = Run.of(state.rules.instances[rank].do)
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    outputs += [
        _done(state, rank, deed._replace(step=None), now)
        for deed in deeds
        if isinstance(deed, Setting)
    ]


def run_steps(
    state: State, rank: int, steps: Steps, now: int, outputs: list[Output], *, after: bool = False
) -> None:
    """A new activation of an instance, instead of those under way."""
    state.activations += 1
    state.runs[rank] = Run.of(steps, state.activations, after=after)
    go_on(state, rank, now, outputs)


def more_steps(state: State, rank: int, steps: Steps, now: int, outputs: list[Output]) -> None:
    """Beside what is under way."""
    if rank not in state.runs:
        run_steps(state, rank, steps, now, outputs)
        return
    state.runs[rank].threads.append(Thread([list(steps)], beside=True))
    go_on(state, rank, now, outputs)


def answered(state: State, answer: Answer) -> int | None:
    """How a write ended; the rank of the instance that can go on now, if the activation that asked
    is still under way.
    """
    instances = state.rules.instances
    for rank, run in state.runs.items():
        if instances[rank].id == answer.ref.instance and run.number == answer.ref.activation:
            failed = answer.outcome in FAILED
            run.answer(answer.ref.step, (answer.device, answer.point), failed=failed)
            return rank
    return None


def go_on(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """The steps of an instance, as far as they can be done now."""
    run = state.runs[rank]
    state.touched.add(rank)
    deeds = run.go_on(now, lambda predicate: predicate.truth(state.values))
    told = not muted(state, rank)
    outputs += [
        _done(state, rank, deed, now) for deed in deeds if told or not isinstance(deed, Notice)
    ]
    due = run.due()
    if run.over:
        del state.runs[rank]
    elif due is not None:
        heappush(state.timers, Timer(due, Kind.STEP, rank, due))


def lapse(state: State, rank: int, now: int, outputs: list[Output]) -> None:
    """Give back what was to be held until now."""
    held = state.claimed[rank]
    state.touched.add(rank)
    for place in [place for place, end in held.items() if end is not None and end <= now]:
        del held[place]
        outputs.append(Released(state.rules.instances[rank].id, *place))


def _done(state: State, rank: int, deed: Deed, now: int) -> Output:
    instance = state.rules.instances[rank]
    rule = instance.rule
    match deed:
        case Setting(device, point, value, hold_ns, terms):
            end = None if hold_ns is None else now + hold_ns
            state.claimed.setdefault(rank, {})[device, point] = end
            state.wanted.setdefault(rank, {})[device, point] = value
            if end is not None:
                heappush(state.timers, Timer(end, Kind.HOLD, rank))
            ref = _ref(state, rank, deed.step)
            return Claimed(instance.id, device, point, value, rule.level, rank, terms, ref)
        case Order(device, point, value, terms):
            ref = _ref(state, rank, deed.step)
            return Commanded(instance.id, device, point, value, rule.level, terms, ref)
        case Notice():
            return said(state, rank, deed)
        case Note(text):
            return Logged(instance.id, filled(state, text))


def said(state: State, rank: int, notice: Notice) -> Notified | Logged:
    """What a recipient is told, with the values as they are now; of a list with nothing in it only the log hears."""
    instance = state.rules.instances[rank]
    text = instance.shown if notice.text is None else filled(state, notice.text)
    if notice.digest is not None:
        rows = listed(notice.digest, lambda test: test.truth(state.values), _shown)
        if not rows:
            nothing = f"nothing to tell {notice.recipient}: its digest is empty"
            return Logged(instance.id, nothing)
        text = f"{text}\n{rows}"
    about = {"rule": instance.rule.id, **instance.about}
    told = (instance.id, instance.device, notice.recipient, text, severity(state, rank), about)
    return Notified(*told, _occasion(state, rank))


def _ref(state: State, rank: int, step: int | None) -> Ref | None:
    if step is None:
        return None
    return Ref(state.rules.instances[rank].id, state.runs[rank].number, step)


def _occasion(state: State, rank: int) -> str:
    """What makes the same words news: which annunciation of the incident it is, but for the
    first, and which stage of its escalation.
    """
    one = state.incidents.get(rank)
    if one is None or (one.told < 2 and not one.stage):
        return ""
    return f"{one.told}.{one.stage}" if one.stage else str(one.told)


def filled(state: State, message: Message) -> str:
    """The text with its values as they are now."""
    return "".join(
        part if isinstance(part, str) else _shown(part.truth(state.values))
        for part in message.parts
    )


def _shown(value: Value | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def stop(state: State, rank: int, outputs: list[Output]) -> None:
    """What is under way ends, what is held is given back."""
    state.runs.pop(rank, None)
    state.wanted.pop(rank, None)
    state.queued.pop(rank, None)
    if rank in state.claimed:
        name = state.rules.instances[rank].id
        outputs += [Released(name, *place) for place in state.claimed.pop(rank)]
