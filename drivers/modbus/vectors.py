"""Golden exchanges of a profile: RTU frames in hex, and what they must decode to. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from drivers.modbus import codec, decode, frame
from drivers.modbus.address import Address, AddressError, Type, parse
from drivers.modbus.plan import Target, address_defaults, targets
from gateway.model import Quality, Value
from gateway.profile import Identity, Profile, Variable, Vector
from gateway.profile_choice import UnsettledError, decided, is_open, settled
from gateway.words.text import Said, fault, text

Fault = tuple[tuple[str | int, ...], str, str]


def check(profile: Profile) -> Iterator[Fault]:
    """Run every vector; one fault for each that does not hold. All points must have addresses."""
    for index, vector in enumerate(profile.vectors):
        path = ("vectors", index)
        for key in vector.model_fields_set & {"topic", "text", "command"}:
            yield (*path, key), *fault("modbus.exchange", key=key)
        if vector.request is None or not vector.response:
            missing = "request" if vector.request is None else "response"
            yield path, *fault("modbus.half", key=missing)
            continue
        try:
            wrong = _run(profile, vector, vector.request)
        except frame.FrameError as error:
            yield path, *fault("modbus.frame", name=vector.name, why=error)
            continue
        if wrong:
            yield (*path, "values"), *fault("modbus.vector", name=vector.name, why=wrong)
    told = {name for vector in profile.vectors for name in vector.variants}
    for index, variant in enumerate(profile.variants):
        if variant.name not in told:
            yield ("variants", index), *fault("modbus.no_vector", name=variant.name)


def accepts(probe: Identity, value: codec.Raw | str | None) -> bool:
    """The register of an identity probe holds what the profile says."""
    return value in (probe.equals or ()) or value in (probe.in_ or ())


def identity_of(address: Address, words: Sequence[int]) -> codec.Raw | str | None:
    """What an identity probe compares: a number or a text; None for what is no text."""
    if address.type is Type.STRING:
        return codec.text(address, words)
    return codec.raw(address, words)


def _run(profile: Profile, vector: Vector, sent: str) -> Said | None:
    """What is wrong. Raises FrameError."""
    if vector.refused:
        return _refused(profile, vector, sent)
    if frame.is_write(sent):
        if (code := frame.exception(sent, vector.response)) is not None:
            return _excepted(vector, code)
        frame.check_echo(sent, vector.response)
        return text("golden.write") if vector.values else None
    asked = frame.request(sent)
    data = frame.data(asked, vector.response)
    if data is None:
        return _excepted(vector, frame.exception(sent, vector.response))
    if vector.exception is not None:
        return text("golden.no_exception", code=vector.exception)
    return _data(profile, vector, asked, data)


def _refused(profile: Profile, vector: Vector, sent: str) -> Said | None:
    """A response that nobody may take for the answer: a broken frame, or a value that means nothing."""
    if vector.values:
        return text("golden.refused")
    try:
        if frame.is_write(sent):
            frame.check_echo(sent, vector.response)
        else:
            asked = frame.request(sent)
            data = frame.data(asked, vector.response)
            if data is not None and _misfit(profile, vector, asked, data):
                return None
    except frame.FrameError:
        return None
    return text("golden.accepted")


def _misfit(
    profile: Profile, vector: Vector, asked: frame.Request, data: Sequence[int]
) -> Said | None:
    """What says that the device is another one, or cannot be read."""
    for probe, address in _probes(profile, vector, asked):
        value = identity_of(address, _part(address, asked, data))
        if not accepts(probe, value):
            return text("golden.identity", addr=address.addr, value=value)
    try:
        _known(profile, vector, asked, data)
    except UnsettledError as error:
        return error.said
    return None


def _excepted(vector: Vector, code: int | None) -> Said | None:
    if vector.values:
        return text("golden.exception_values")
    if vector.exception not in {None, code}:
        return text("golden.other_exception", code=code, wanted=vector.exception)
    return None


def _data(
    profile: Profile, vector: Vector, asked: frame.Request, data: Sequence[int]
) -> Said | None:
    if not vector.values and not list(_probes(profile, vector, asked)):
        return text("golden.nothing")
    wrong = _misfit(profile, vector, asked, data)
    return wrong or _compare(vector, _known(profile, vector, asked, data), asked, data)


def _known(
    profile: Profile, vector: Vector, asked: frame.Request, data: Sequence[int]
) -> Mapping[str, Target]:
    """The points as the vector's variants, decisions and variables settle them. Raises UnsettledError."""
    chosen = decided(profile, vector.decisions)
    if not is_open(chosen):
        return targets(chosen)
    variables: dict[str, Decimal] = {}
    for name, variable in chosen.variables.items():
        value = _variable(profile, variable, asked, data)
        given = vector.variables.get(name, value if value is not None else variable.default)
        if given is not None:
            variables[name] = Decimal(str(given))
    return targets(settled(chosen, vector.variants, variables))


def _variable(
    profile: Profile, variable: Variable, asked: frame.Request, data: Sequence[int]
) -> Decimal | None:
    """None if the response does not hold it, or the place of it is wrong, which is told there."""
    try:
        address = parse(variable.at, address_defaults(profile))
    except AddressError:
        return None
    if not _within(address, asked):
        return None
    return Decimal(repr(codec.raw(address, _part(address, asked, data)))) * variable.scale


def _compare(
    vector: Vector, known: Mapping[str, Target], asked: frame.Request, data: Sequence[int]
) -> Said | None:
    for name, expected in vector.values.items():
        target = known.get(name)
        if target is not None and (target.point.formula or target.point.unit_from):
            return text("golden.vars", name=name)
        got = _decoded(target, asked, data)
        if isinstance(got, Quality):
            return text("golden.value", name=name, got=got.reason, wanted=repr(expected))
        if got != expected or isinstance(got, bool) is not isinstance(expected, bool):
            return text("golden.value", name=name, got=repr(got), wanted=repr(expected))
    return None


def _probes(
    profile: Profile, vector: Vector, asked: frame.Request
) -> Iterator[tuple[Identity, Address]]:
    chosen = [variant for variant in profile.variants if variant.name in vector.variants]
    for probe in [*profile.identity, *(probe for v in chosen for probe in v.identity)]:
        try:
            address = parse(probe.at, address_defaults(profile))
        except AddressError:  # reported at the probe itself
            continue
        if _within(address, asked):
            yield probe, address


def _decoded(
    target: Target | None, asked: frame.Request, data: Sequence[int]
) -> Value | Quality | None:
    if target is None or not _within(target.address, asked):
        return None
    value, quality = decode.point(target, _part(target.address, asked, data))
    return quality if value is None else value


def _within(address: Address, asked: frame.Request) -> bool:
    return (
        address.table.read_function == asked.function
        and asked.addr <= address.addr
        and address.end <= asked.addr + asked.size
    )


def _part(address: Address, asked: frame.Request, data: Sequence[int]) -> Sequence[int]:
    start = address.addr - asked.addr
    return data[start : start + address.width]
