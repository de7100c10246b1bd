"""Faults in the answers of the simulated BlueZ, by the member that is called."""

from dataclasses import dataclass

from simulators.bluez.names import BluezError

ALL = "*"  # every member


@dataclass(frozen=True, slots=True)
class Fault:
    """One call goes wrong: first it waits, then it hangs, fails, or goes on as usual."""

    error: BluezError | None = None
    delay_s: float = 0.0
    hangs: bool = False


class Faults:
    def __init__(self) -> None:
        self._planned: dict[str, tuple[Fault, int | None]] = {}

    def inject(self, member: str, fault: Fault, times: int | None = None) -> None:
        """The next `times` calls of `member` have this fault; None: all until `heal`."""
        self._planned[member] = fault, times

    def heal(self, member: str | None = None) -> None:
        """Calls of `member` are answered properly again; None: every call."""
        if member is None:
            self._planned.clear()
        else:
            self._planned.pop(member, None)

    def take(self, member: str) -> Fault | None:
        """What this call of `member` meets."""
        name = member if member in self._planned else ALL
        if name not in self._planned:
            return None
        fault, times = self._planned[name]
        if times is not None:
            if times <= 1:
                del self._planned[name]
            else:
                self._planned[name] = fault, times - 1
        return fault
