"""What `gateway probe ble` prints."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import orjson

from drivers.ble.bthome_objects import OBJECTS
from drivers.ble.characteristic import DIALECT
from drivers.ble.frame import Wire
from drivers.ble.place import is_life
from drivers.ble.survey import Key, Profiles, Sender, Survey
from gateway.model import Value
from gateway.profile import Profile

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 200  # characters of a line, where no terminal says how many it has
FILL_IN = "FILL-IN"  # no profile has this name: `gateway check` lists those there are


class Row(NamedTuple):
    sender: Sender
    age_s: float
    device: str  # the id that it is configured with, "" if it is not
    profile: Profile | None  # the one that reads it
    values: Mapping[str, Value]

    @property
    def known(self) -> bool:
        """In a format that we read, or fit for a profile."""
        return bool(self.sender.frames) or self.profile is not None

    @property
    def format(self) -> str:
        words = [*self.sender.frames, *(["encrypted"] if self.sealed else [])]
        return " ".join(words) or ("connectable" if self.profile is not None else "-")

    @property
    def sealed(self) -> bool:
        return any(frame.encrypted for frame in self.sender.frames.values())

    @property
    def forgeable(self) -> bool:
        """It tells of matters of life in frames that anybody could send."""
        profile = self.profile
        if profile is None or self.sealed or profile.dialect == DIALECT:
            return False
        return is_life(profile)

    @property
    def shows(self) -> str:
        if self.sender.locked:
            return "its key is needed to read it"
        told = self.values or {_name(k): o.value for k, o in self.sender.objects.items()}
        return ", ".join(f"{name} {_short(value)}" for name, value in told.items())


def rows(
    survey: Survey, profiles: Profiles, configured: Mapping[str, str], now_ns: int
) -> list[Row]:
    found = []
    for sender in survey.senders:
        fits = profiles.fit(sender)
        found.append(
            Row(
                sender, (now_ns - sender.last_ns) / 1e9, configured.get(sender.address, ""),
                fits.profile if fits else None, fits.values if fits else {},
            )
        )  # fmt: skip
    return found


def table(shown: Sequence[Row], forgotten: int) -> "Table":
    """Texts of senders are shown as they are, never read as markup."""
    from rich.table import Table  # noqa: PLC0415 -- 60 ms that `--json` does not need
    from rich.text import Text  # noqa: PLC0415 -- as above

    title = f"{len(shown)} in the air" + (
        f", {forgotten} receptions crowded out" if forgotten else ""
    )
    page = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("address", "dBm", "heard", "ago", "who", "model", "shows"):
        right = name in {"dBm", "heard", "ago"}
        whole = right or name == "address"
        page.add_column(
            name, justify="right" if right else "left", header_style="dim", no_wrap=whole,
            min_width=17 if name == "address" else 4, overflow="fold",
        )  # fmt: skip
    for row in shown:
        sender = row.sender
        cells = (
            sender.address, str(sender.rssi), str(sender.count), f"{row.age_s:.0f} s",
            row.device or sender.name, row.profile.profile if row.profile else row.format, row.shows,
        )  # fmt: skip
        page.add_row(*(Text(cell) for cell in cells))
    return page


def snippets(
    found: Sequence[Row], link: str, key_files: Mapping[str, str], taken: Collection[str]
) -> dict[str, str]:
    """By address: the line that makes a device of who is not configured. No key is ever shown."""
    lines, used = {}, set(taken)
    for row in found:
        sender = row.sender
        if row.device or (row.profile is None and not row.sealed):
            continue
        profile = row.profile.profile if row.profile else FILL_IN
        name = _free(profile.rpartition("-")[2].lower() if row.profile else "ble", used)
        used.add(name)
        more = (
            f', key: "${{file:{key_files.get(sender.address, f"keys/{name}")}}}"'
            if row.sealed
            else ""
        )
        if row.forgeable:
            more = ", require_encryption: false"
        lines[sender.address] = (
            f'{name}: {{profile: {profile}, link: {link}, address: "{sender.address}"{more}}}'
        )
    return lines


def print_json(found: Sequence[Row], lines: Mapping[str, str]) -> None:
    answer = [
        {
            "address": row.sender.address, "name": row.sender.name, "rssi": row.sender.rssi,
            "count": row.sender.count, "age_s": row.age_s, "format": row.format,
            "services": sorted(row.sender.services), "locked": row.sender.locked,
            "device": row.device or None, "profile": row.profile.profile if row.profile else None,
            "values": dict(row.values), "yaml": lines.get(row.sender.address),
            "objects": {_name(key): one.value for key, one in row.sender.objects.items()},
        }
        for row in found
    ]  # fmt: skip
    print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())


def _name(key: Key) -> str:
    """Of an object that no profile has a point for."""
    wire, number, nth = key
    again = f"[{nth}]" if nth > 1 else ""
    if isinstance(number, str):
        return number + again
    known = OBJECTS.get(number) if wire is Wire.BTHOME else None
    return (known.name if known else f"{wire}:{number:#06x}") + again


def _short(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _free(base: str, used: Collection[str]) -> str:
    return next(name for n in range(1, len(used) + 2) if (name := f"{base}-{n}") not in used)
