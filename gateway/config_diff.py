"""What differs between two configurations: by link, device, section and rule, not by line. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.assemble import assemble, rule_files
from gateway.document import Plain, load, mapping_at

Kind = Literal["added", "removed", "changed"]
SIGNS: Mapping[Kind, str] = {"added": "+", "removed": "-", "changed": "~"}


class Change(NamedTuple):
    """`old` and `new` are as they stand in the files: secrets are references."""

    kind: Kind
    path: tuple[str, ...]
    old: Plain = None
    new: Plain = None


def whole(main: Path) -> dict[str, Plain]:
    """A configuration as one value: parts included, rules in the place of their files, by id.

    Reads files and checks nothing. Raises ConfigError for what cannot be read.
    """
    document = assemble(main).document
    value = dict(mapping_at(document.value))
    listed = value.get("rules")
    rules: dict[str, Plain] = {}
    for path in (
        rule_files(main.parent / str(one) for one in listed) if isinstance(listed, list) else ()
    ):
        for key, part in mapping_at(load(path).value).items():
            if key == "rules" and isinstance(part, list):
                rules |= {str(mapping_at(one).get("id")): one for one in part}
            else:
                rules[f"{path.name} {key}"] = part
    return {**value, "rules": rules} if listed else value


def changes(old: Plain, new: Plain, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """In the order of the keys, what is gone first."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            at = (*path, key)
            if key not in new:
                yield Change("removed", at, old[key])
            elif key not in old:
                yield Change("added", at, None, new[key])
            else:
                yield from changes(old[key], new[key], at)
    else:
        yield Change("changed", path, old, new)
