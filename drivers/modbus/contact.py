"""First contact with a unit: is it what its profile says, which variant, with which variables.

Asks through a callable and knows nothing of links, so that it works for the driver, for
`gateway probe` and for a table of registers.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from drivers.modbus import codec, decode, guess
from drivers.modbus.address import Address, parse
from drivers.modbus.answer import Excepted
from drivers.modbus.plan import Block, Target, address_defaults, plan, targets
from drivers.modbus.settings import ModbusDevice
from drivers.modbus.vectors import accepts, identity_of
from gateway.errors import GatewayError
from gateway.profile import Identity, Limits, Plausible, Point, Profile, Variable, Variant
from gateway.profile_choice import (
    Part,
    UnsettledError,
    Variables,
    assumed,
    contested,
    decided,
    is_open,
    parts,
    settled,
)

Data = Sequence[int] | Excepted
Ask = Callable[[Block], Awaitable[Data]]

# Application Protocol 1.1b3, 7: function, address or value mean nothing to this device. Any other
# exception says nothing about the register.
UNKNOWN_HERE = frozenset({1, 2, 3})


class Mismatch(GatewayError):  # noqa: N818 -- a state, named as operators say it
    """The unit is not the device of its profile, or not enough is known to read it right.

    `reason` is the quality of all its points.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class Unready(GatewayError):  # noqa: N818 -- as above
    """The unit answers exception `code`, which says nothing about the register: ask again later."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


class Contact(NamedTuple):
    """What first contact found. `profile` has no choices left; `why` tells how they were made."""

    profile: Profile
    targets: Mapping[str, Target]
    variants: tuple[str, ...] = ()
    variables: Variables = {}
    identified: bool = False  # some identity register holds what the profile says
    why: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """The variants in one text, "" if the profile has none."""
        return ", ".join(self.variants)


def is_fixed(profile: Profile) -> bool:
    """What to read, and how, is known before the unit was asked."""
    return not is_open(profile) and not contested(profile)


def expected(profile: Profile, section: ModbusDevice) -> Profile:
    """The map that the unit most likely has, before it was asked."""
    given = {name: Decimal(str(number)) for name, number in section.vars.items()}
    return assumed(decided(profile, section.decisions), section.variants, given)


def block_of(address: Address) -> Block:
    """The request that reads one value; it belongs to no point."""
    return Block(address.table, address.addr, address.width, ())


async def contact(
    profile: Profile, section: ModbusDevice, ask: Ask, before: Sequence[str] = ()
) -> Contact:
    """Identity, then variables, then variants; `section` may have answered for the unit.

    `before`: the variants that an earlier contact found; they hold where the readings decide nothing
    (a dead phase fits no map). Raises Mismatch, Unready and what `ask` raises.
    """
    return await _Contact(decided(profile, section.decisions), section, ask, before).run()


class _Contact:
    def __init__(
        self, profile: Profile, section: ModbusDevice, ask: Ask, before: Sequence[str]
    ) -> None:
        self._profile = profile
        self._section = section
        self._ask = ask
        self._before = before
        self._defaults = address_defaults(profile)
        self._known: dict[tuple[str, int, int], Data] = {}
        self._why: list[str] = []

    async def run(self) -> Contact:
        identified = await self._identify(self._profile.identity)
        variables = await self._variables()
        variants = []
        for part in parts(self._profile):
            name, positive = await self._variant(part, variables)
            variants.append(name)
            identified = identified or positive
        profile = self._settled(variants, variables)
        return Contact(
            profile, targets(profile), tuple(variants), variables, identified, tuple(self._why)
        )

    def _settled(self, variants: Sequence[str], variables: Variables) -> Profile:
        try:
            return settled(self._profile, variants, variables)
        except UnsettledError as error:
            shown = ", ".join(self._shown(name, number) for name, number in variables.items())
            what = f"{error} ({shown}): not a {self._profile.profile}"
            raise Mismatch("wrong_device", what) from error

    def _shown(self, name: str, number: Decimal) -> str:
        address = parse(self._profile.variables[name].at, self._defaults)
        return f"{name}, register {address.addr:#06x}, is {number}"

    async def _identify(self, probes: Iterable[Identity]) -> bool:
        """Whether a register says so. Raises Mismatch if one says something else."""
        positive = False
        for probe in probes:
            holds, said = await self._probe(probe)
            if holds is False:
                what = f"identity register {said}: not a {self._profile.profile}"
                raise Mismatch("wrong_device", what)
            positive = positive or holds is True
        return positive

    async def _probe(self, probe: Identity) -> tuple[bool | None, str]:
        """(it holds what the probe wants, what was read); None: the register may be missing, and is."""
        address = parse(probe.at, self._defaults)
        where = f"{address.addr:#06x}"
        data = await self._read(address, f"identity register {where}")
        if isinstance(data, Excepted):
            return (None if probe.optional else False), f"{where}: exception {data.code}"
        value = identity_of(address, data)
        return accepts(probe, value), f"{where} is {value}"

    async def _variables(self) -> dict[str, Decimal]:
        found = {name: Decimal(str(number)) for name, number in self._section.vars.items()}
        wanted = {n: v for n, v in self._profile.variables.items() if n not in found}
        for block in _together(self._profile, wanted):
            await self._fetch(block)
        for name, variable in wanted.items():
            found[name] = await self._variable(name, variable)
        return {name: found[name] for name in self._profile.variables}

    async def _variable(self, name: str, variable: Variable) -> Decimal:
        address = parse(variable.at, self._defaults)
        where = f"{name}, register {address.addr:#06x},"
        data = await self._read(address, where)
        if isinstance(data, Excepted):
            if variable.default is None:
                what = f"{where} answers exception {data.code}: not a {self._profile.profile}"
                raise Mismatch("wrong_device", what)
            return Decimal(str(variable.default))
        number = Decimal(repr(codec.raw(address, data))) * variable.scale
        if not number.is_finite() or not _within(number, variable):
            expected = _span(variable.min, variable.max)
            raise Mismatch("bad_variable", f"{where} is {number:f}, expected {expected}")
        return number

    async def _variant(self, part: Part, variables: Variables) -> tuple[str, bool]:
        """(name, an identity register says so) of the variant that fits."""
        pinned = next((v for v in part.variants if v.name in self._section.variants), None)
        if pinned is not None:
            return pinned.name, await self._identify(pinned.identity)
        left: list[tuple[Variant, bool]] = []
        said = dict[str, str]()
        for variant in part.variants:
            fits, positive, said[variant.name] = await self._told(variant)
            left += [(variant, positive)] if fits else []
        fitting: dict[str, bool] = {}
        for variant, positive in left:
            fits, told = await self._plausible(variant, variables)
            said[variant.name] = ", ".join(text for text in (said[variant.name], told) if text)
            if fits:
                fitting[variant.name] = positive
        return self._chosen(fitting, [variant.name for variant, _ in left], said)

    def _chosen(
        self, fitting: Mapping[str, bool], left: Sequence[str], said: Mapping[str, str]
    ) -> tuple[str, bool]:
        """A register that says so goes before numbers that only look right."""
        best = [name for name, positive in fitting.items() if positive] or list(fitting)
        earlier = [name for name in self._before if name in (best or left)]
        if len(best) == 1 or earlier:
            name = best[0] if len(best) == 1 else earlier[0]
            as_before = "" if len(best) == 1 else "as before, "
            self._why.append(f"{name}: {as_before}{said[name]}")
            return name, fitting.get(name, False)
        shown = "; ".join(f"{name}: {text}" for name, text in said.items())
        if best:
            what = (
                f"{' and '.join(best)} fit equally well ({shown}): write `variant:` of this device"
            )
            raise Mismatch("unknown_variant", what)
        what = f"no variant of {self._profile.profile} fits ({shown})"
        raise Mismatch("unknown_variant", what)

    async def _told(self, variant: Variant) -> tuple[bool, bool, str]:
        """(no identity register speaks against it, one speaks for it, what was read)."""
        positive, told = False, []
        for probe in variant.identity:
            holds, said = await self._probe(probe)
            told.append(f"register {said}")
            if holds is False:
                return False, False, told[-1]
            positive = positive or holds is True
        return True, positive, ", ".join(told)

    async def _plausible(self, variant: Variant, variables: Variables) -> tuple[bool, str]:
        """(every reading is within its limits, what was read)."""
        try:
            known = targets(settled(self._profile, (variant.name,), variables))
        except UnsettledError as error:
            return False, str(error)
        told = []
        for limit in variant.plausible:
            fits, said = await self._reading(known[limit.point], limit)
            told.append(said)
            if not fits:
                return False, said
        return True, ", ".join(told)

    async def _reading(self, target: Target, limit: Plausible) -> tuple[bool, str]:
        name, unit = target.point.id, target.point.unit
        data = await self._read(target.address, name)
        if isinstance(data, Excepted):
            return False, f"{name}: exception {data.code}"
        value, quality = decode.point(target._replace(plausible=limit), data)
        shown = f"{name} is {value}" if quality is None or value is not None else f"{name} is {quality.reason}"  # fmt: skip
        shown += "" if value is None or unit == "1" else f" {unit}"
        if quality is None:
            return True, shown
        other = guess.other_order(target.address, data)
        if other is not None:
            order, number, code = other
            return False, f"{shown}, but {number:g} {code} in order {order}"
        return False, f"{shown}, expected {_span(limit.min, limit.max)}"

    async def _read(self, address: Address, what: str) -> Data:
        """Registers, asked for once, or the exception that says there are none. Raises Unready."""
        key = (address.table, address.addr, address.width)
        data = self._known.get(key)
        if data is None:
            data = self._known[key] = await self._ask(block_of(address))
        if isinstance(data, Excepted) and data.code not in UNKNOWN_HERE:
            raise Unready(data.code, f"{what}: exception {data.code}")
        return data

    async def _fetch(self, block: Block) -> None:
        """Read several variables at once; if the unit refuses that, each is asked for alone."""
        if len(block.targets) < 2:
            return
        data = await self._ask(block)
        for target in block.targets if not isinstance(data, Excepted) else ():
            address = target.address
            start = address.addr - block.addr
            key = (address.table, address.addr, address.width)
            self._known[key] = data[start : start + address.width]


def _together(profile: Profile, wanted: Mapping[str, Variable]) -> Iterator[Block]:
    """Neighbours in one request: two of one size are easily taken for each other on a serial line."""
    defaults = address_defaults(profile)
    members = [Target(Point(id=f"vars.{n}"), parse(v.at, defaults)) for n, v in wanted.items()]
    yield from plan(members, Limits(max_regs=profile.limits.max_regs))


def _within(number: Decimal, variable: Variable) -> bool:
    low, high = variable.min, variable.max
    return (low is None or number >= Decimal(str(low))) and (
        high is None or number <= Decimal(str(high))
    )


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"
