"""`make bench`: each entry measures one promise against a named baseline in the same run.

`python -m bench NAME ...` runs only those. Figures of two machines cannot be compared; ratios can.
"""

import importlib
import platform
import sys

from bench.report import Row, show

ENTRIES = (
    "model",
    "store",
    "journal",
    "chain",
    "dialects",
    "influx",
    "modbus",
    "rules",
    "ble",
    "fire",
    "config",
    "cli",
)


def main() -> int:
    names = sys.argv[1:] or ENTRIES
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        print(
            f"no such benchmark: {', '.join(unknown)}; there are {', '.join(ENTRIES)}",
            file=sys.stderr,
        )
        return 64
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}\n")
    for name in names:
        module = importlib.import_module(f"bench.{name}")
        rows: list[Row] = module.run()
        show(name, module.__doc__ or "", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
