"""What a rule means, as a short hash: the same whatever its texts for people, spaces and notation. Pure."""

import hashlib
from collections.abc import Mapping

import orjson

from rules.model import Rule

# What people read, and what does not matter for the state of a rule.
_TEXTS = frozenset({"title", "description", "text"})
# Keys that `Rule` has in another form: 60s is 1m there.
_COMPUTED = frozenset({"id", "enabled", "restart", "for", "keep_for", "unknown_for", "on_unknown", "priority"})  # fmt: skip
SIZE = 16  # hex digits: 64 bits, for rules that were written one after the other


def digested(rule: Rule, written: object) -> Rule:
    """`rule` with its hash. `written` is what its file says, with templates filled in."""
    keys = written if isinstance(written, Mapping) else {}
    own = {key: value for key, value in keys.items() if key not in _COMPUTED}
    meant = [
        rule.level, rule.for_ns, rule.keep_ns, rule.on_unknown, rule.unknown_ns, rule.catch_up_ns,
        _meaning(own),
    ]  # fmt: skip
    text = orjson.dumps(meant, default=str, option=orjson.OPT_SORT_KEYS)
    return rule._replace(hash=hashlib.sha256(text).hexdigest()[:SIZE])


def _meaning(value: object) -> object:
    match value:
        case Mapping():
            known = {str(k): v for k, v in value.items() if k not in _TEXTS}
            return {k: None if k == "log" else _meaning(v) for k, v in known.items()}
        case list():
            return [_meaning(one) for one in value]
        case str():
            return " ".join(value.split())
    return value
