"""A module with a part of its text replaced, for as long as a block lasts."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any


@contextmanager
def mutant(module: ModuleType, old: str, new: str) -> Iterator[None]:
    """The functions of `module` are those of its text with `new` in the place of `old`.

    They stay the same objects, so that whoever has imported one gets the change. AssertionError: `old`
    is not there exactly once, or is in no function.
    """
    text = inspect.getsource(module)
    assert text.count(old) == 1, f"{module.__name__}: {text.count(old)} times {old!r}"
    name = str(module.__file__)
    before, after = (_codes(compile(t, name, "exec")) for t in (text, text.replace(old, new)))
    changed = [name for name, code in after.items() if code != before[name]]
    assert changed, f"{module.__name__}: no function has {old!r}"
    functions = {name: _function(module, name) for name in changed}
    try:
        for name, function in functions.items():
            function.__code__ = after[name]
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = before[name]


def _codes(code: CodeType) -> dict[str, CodeType]:
    """Of functions and methods by qualified name; those within functions come with theirs."""
    found: dict[str, CodeType] = {}
    for one in code.co_consts:
        if isinstance(one, CodeType):
            is_function = one.co_flags & inspect.CO_OPTIMIZED
            found |= {one.co_qualname: one} if is_function else _codes(one)
    return found


def _function(module: ModuleType, name: str) -> FunctionType:
    found: Any = module
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    assert isinstance(found, FunctionType), name
    return found
