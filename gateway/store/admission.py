"""Which segment files belong to this store. What does not, or cannot be read, is put aside."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import StateRefused
from gateway.store.quarantine import set_aside
from gateway.store.segment import segment_files, segment_path
from gateway.store.survey import Known, Survey, survey


def admit(
    directory: Path, gateway_id: str, store_uuid: str, damage: Counter[str], known: Known
) -> dict[int, Survey]:
    """By first seq. `store_uuid` is "" where core.db is new or does not know it.

    Counts "segment_quarantined" and "segment_foreign" in `damage`. Raises StateRefused if core.db
    is gone and the segments are another gateway's.
    """
    found = {
        first: survey(segment_path(directory, first), known) for first in segment_files(directory)
    }
    strangers = {
        first: owner
        for first, one in found.items()
        if (owner := _stranger(one, gateway_id, store_uuid))
    }
    if strangers and len(strangers) == len(found) and not store_uuid:
        first, owner = next(iter(strangers.items()))
        raise StateRefused(f"{segment_path(directory, first)}: belongs to {owner}")
    for first, why in _refused(found, strangers):
        set_aside(directory, segment_path(directory, first), why)
        damage["segment_foreign" if first in strangers else "segment_quarantined"] += 1
        del found[first]
    return found


def adopted(found: Mapping[int, Survey]) -> str:
    """The store of the newest segment that tells, for a core.db that does not; "" if none does."""
    return next((one.store_uuid for _, one in sorted(found.items(), reverse=True) if one.store_uuid), "")  # fmt: skip


def _refused(
    found: Mapping[int, Survey], strangers: Mapping[int, str]
) -> Iterator[tuple[int, str]]:
    for first, one in list(found.items()):
        if first in strangers:
            yield first, f"it belongs to {strangers[first]}"
        elif not one.readable:
            yield first, "it cannot be read"


def _stranger(one: Survey, gateway_id: str, store_uuid: str) -> str:
    """Whose it is, "" for ours and for those that do not say."""
    if one.gateway_id not in {None, gateway_id}:
        return f"gateway '{one.gateway_id}'"
    if store_uuid and one.store_uuid not in {"", store_uuid}:
        return f"store {one.store_uuid}"
    return ""
