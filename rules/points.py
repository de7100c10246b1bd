"""Which point a name in an expression stands for, and which names a profile knows. Pure."""

from collections.abc import Iterator

from gateway.document import suggest
from gateway.profile import Point, Profile
from gateway.words.text import fault, text
from rules.formula import EVERY, Alias
from rules.kinds import type_of
from rules.tree import Binary, Call, In, Node, Path, Place, RuleError, Unary, Word

LIMIT = "limit"  # before the name of a number that each device gives


def shared(alias: Alias, node: Path) -> Point:
    """The point in every profile of the alias, of one meaning."""
    found: Point | None = None
    for profile in alias.profiles:
        point = point_of(profile, node.point)
        if point is None:
            elsewhere = any(node.point in p.by_id for p in (*alias.profiles, *alias.others))
            add = text("expr.add_has", point=node.point)
            fix = add if elsewhere else suggest(node.point, profile.by_id)
            unknown = fault(
                "expr.profile_point", profile=profile.profile, point=node.point, fix=fix
            )
            raise RuleError(*unknown, *node.place)
        if found is not None and type_of(found) != type_of(point):
            several = fault("expr.several", point=node.point, name=node.alias)
            raise RuleError(*several, *node.place)
        found = point
    if found is None:
        raise RuleError(*fault("expr.nobody", name=node.alias), *node.place)
    return found


def point_of(profile: Profile, name: str) -> Point | None:
    """The point of this name; for each element of an array the first of them."""
    base, every, _ = name.partition(EVERY)
    found = indices(profile, base)[:1] if every else ("",)
    return profile.by_id.get(base + found[0]) if found else None


def implied(node: Node, profile: Profile) -> Node:  # noqa: PLR0911 -- one case for each node
    """`node` with `it.` before the points of `profile`. Raises RuleError for one that it has not."""
    match node:
        case Path(alias, point, place):
            name = point if alias == "it" else f"{alias}.{point}"
            if alias == LIMIT and name not in profile.by_id:
                return node
            _check(name, profile, place)
            return Path("it", name, place)
        case Word(name, place):
            return Path("it", name, place) if name in profile.by_id or EVERY in name else node
        case Unary():
            return node._replace(operand=implied(node.operand, profile))
        case Binary():
            left, right = implied(node.left, profile), implied(node.right, profile)
            return node._replace(left=left, right=right)
        case In():
            return node._replace(left=implied(node.left, profile))
        case Call():
            found = tuple(implied(one, profile) for one in node.arguments)
            return node._replace(arguments=found)
    return node


def paths(node: Node) -> Iterator[Path]:
    """Everything that `node` names."""
    match node:
        case Path():
            yield node
        case Unary():
            yield from paths(node.operand)
        case Binary():
            yield from paths(node.left)
            yield from paths(node.right)
        case In():
            yield from paths(node.left)
        case Call():
            for one in node.arguments:
                yield from paths(one)


def indices(profile: Profile, base: str) -> tuple[str, ...]:
    """`[1]`, `[2]` and so on: the elements of an array, in the order of their addresses."""
    return tuple(p.id[len(base) :] for p in profile.points if p.id.startswith(f"{base}["))


def _check(name: str, profile: Profile, place: Place) -> None:
    base, bracket, element = name.partition("[")
    every = f"[{element}" == EVERY
    if name in profile.by_id or (every and indices(profile, base)):
        return
    known = {one.partition("[")[0] for one in profile.by_id}
    if bracket and base in profile.by_id:
        fix = text("hint.write", example=base)
    elif base in known:
        fix = text("expr.write_element" if bracket else "expr.write_each", point=base)
    else:
        fix = suggest(base, known)
    raise RuleError(
        *fault("expr.profile_point", profile=profile.profile, point=name, fix=fix), *place
    )
