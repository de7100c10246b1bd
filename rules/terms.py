"""What a rule says about its alarm, beyond severity and latch."""

from typing import Literal, NamedTuple

HOUR_NS = 3_600 * 1_000_000_000
SHELVE_MAX_NS = 8 * HOUR_NS
# An alarm that saves lives is put aside for a short while, and only one of them at a time.
LIFE_SHELVE_NS = HOUR_NS
OUT_MAX_NS, LIFE_OUT_NS = 168 * HOUR_NS, 8 * HOUR_NS
REMIND_NS = HOUR_NS  # that an alarm of life is out of service

Ack = Literal["required", "optional", "none"]


class Flap(NamedTuple):
    """More than `raises` within `ns`: it comes and goes, and nobody hears of it until it is steady."""

    raises: int
    ns: int


class Storm(NamedTuple):
    """More than `more_than` raises within `ns`, of instances with the same values of `group_by`: from
    then on they are one alarm, `name`.
    """

    name: str
    group_by: tuple[str, ...]
    more_than: int
    ns: int


class Terms(NamedTuple):
    """`ack` says whether somebody must, may or cannot acknowledge. A raise less than `cooldown_ns` after
    the first one of its incident is silent. An alarm that was acknowledged `realarm_ns` ago (0: never)
    and is still active is news again. It may be shelved for `shelve_max_ns`. `suppressed_by` names
    rules that make it needless, those with the same values of the tags `group_by`.
    """

    ack: Ack = "optional"
    cooldown_ns: int = 0
    realarm_ns: int = 0
    shelve_max_ns: int = SHELVE_MAX_NS
    suppressed_by: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    flap: Flap | None = None
    storm: Storm | None = None
