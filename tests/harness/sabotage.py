"""Starts the real app with one part replaced: `python -m tests.harness.sabotage NAME run -c FILE`.

Each function here must turn its promise's test red; a promise whose sabotage stays green is not
tested at all.
"""

import sys

from drivers.modbus.link import Connection
from drivers.mqtt import identity
from gateway import safemode
from gateway.bus import Bus
from gateway.cli.main import main
from gateway.model import LANE_ALARM, Item
from gateway.store.ballast import Ballast
from gateway.store.retention import WORTH, Keeper


def ack_before_commit() -> None:
    """Devices are acknowledged when the bus has the message, not when the disk has it."""

    async def commit(self: Bus, item: Item) -> None:
        return

    setattr(Bus, "commit", commit)  # noqa: B010 -- replaced on purpose, behind the type checker


def no_ballast() -> None:
    """Nothing is kept in reserve for a full disk."""
    setattr(Ballast, "restore", lambda _self: True)  # noqa: B010 -- as above
    setattr(Ballast, "release", lambda _self: False)  # noqa: B010 -- as above


def evict_alarms_first() -> None:
    """Whenever samples have to go, alarms go before them, delivered or not."""
    proper = Keeper._drop_segment

    def drop(self: Keeper, reason: str) -> bool:
        return self._drop_events(LANE_ALARM, reason, worth=WORTH) or proper(self, reason)

    setattr(Keeper, "_drop_segment", drop)  # noqa: B010 -- as above


def no_quarantine() -> None:
    """After a Modbus answer that did not come or did not fit, the next request goes out at once."""
    setattr(Connection, "_distrust", lambda _self, **_how: None)  # noqa: B010 -- as above


def no_identity_check() -> None:
    """Whatever an MQTT payload says about its sender is believed."""
    setattr(identity, "check", lambda _section, _sender: None)  # noqa: B010 -- as above


def short_safe_mode() -> None:
    """No sabotage of a promise: safe mode lasts for 2 s instead of 10 min."""
    safemode.STABLE_S = 2.0


if __name__ == "__main__":
    {
        "ack_before_commit": ack_before_commit,
        "no_ballast": no_ballast,
        "no_quarantine": no_quarantine,
        "no_identity_check": no_identity_check,
        "evict_alarms_first": evict_alarms_first,
        "short_safe_mode": short_safe_mode,
    }[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
