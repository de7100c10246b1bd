"""Golden exchanges of a profile: RTU frames in hex, and what they must decode to. Pure."""

from collections.abc import Iterator, Sequence

from drivers.modbus import codec, decode, frame
from drivers.modbus.address import Address, AddressError, parse
from drivers.modbus.plan import Target, address_defaults, targets
from gateway.model import Quality, Value
from gateway.profile import Identity, Profile, Vector

Fault = tuple[tuple[str | int, ...], str, str]


def check(profile: Profile) -> Iterator[Fault]:
    """Run every vector; one fault for each that does not hold. All points must have addresses."""
    known = targets(profile)
    for index, vector in enumerate(profile.vectors):
        path = ("vectors", index)
        if vector.request is None:
            yield path, "no request", "add the request that this response answers"
            continue
        try:
            wrong = _run(profile, known, vector, vector.request)
        except frame.FrameError as error:
            yield path, f"'{vector.name}': {error}", "copy the frames again from their source"
            continue
        if wrong:
            fix = "check address, type, order and scale, then the vector"
            yield (*path, "values"), f"'{vector.name}': {wrong}", fix


def _run(profile: Profile, known: dict[str, Target], vector: Vector, sent: str) -> str | None:
    if frame.is_write(sent):
        frame.check_echo(sent, vector.response)
        return "a write reads nothing: leave values empty" if vector.values else None
    asked = frame.request(sent)
    data = frame.data(asked, vector.response)
    if data is None:
        return "an exception has no values" if vector.values else None
    probes = list(_probes(profile, asked))
    if not vector.values and not probes:
        return "the request reads no value that the profile knows"
    for probe, address in probes:
        number = codec.raw(address, _part(address, asked, data))
        if not accepts(probe, number):
            return f"identity register {address.addr:#06x} is {number}"
    return _compare(vector, known, asked, data)


def _compare(
    vector: Vector, known: dict[str, Target], asked: frame.Request, data: Sequence[int]
) -> str | None:
    for name, expected in vector.values.items():
        got = _decoded(known.get(name), asked, data)
        if isinstance(got, Quality):
            return f"{name} is {got.reason}, not {expected!r}"
        if got != expected or isinstance(got, bool) is not isinstance(expected, bool):
            return f"{name} is {got!r}, not {expected!r}"
    return None


def accepts(probe: Identity, number: codec.Raw) -> bool:
    """The register of an identity probe holds what the profile says."""
    return number in (probe.equals or ()) or number in (probe.in_ or ())


def _probes(profile: Profile, asked: frame.Request) -> Iterator[tuple[Identity, Address]]:
    for probe in profile.identity:
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
    return data[start : start + address.type.width]
