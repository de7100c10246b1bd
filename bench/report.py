"""How a benchmark's rows are printed."""

from typing import NamedTuple


class Row(NamedTuple):
    """One figure; `ratio` is ours over the baseline's, None for a figure without one."""

    what: str
    figure: str
    baseline: str = ""
    ratio: float | None = None


def show(name: str, text: str, rows: list[Row]) -> None:
    print(f"{name}: {text.splitlines()[0]}")
    width = max(len(row.what) for row in rows)
    for row in rows:
        ratio = "" if row.ratio is None else f"  x {row.ratio:.2f} of {row.baseline}"
        print(f"  {row.what:<{width}}  {row.figure:>20}{ratio}")
    print(flush=True)
