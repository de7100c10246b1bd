"""What a unit says instead of data."""

from typing import NamedTuple


class Excepted(NamedTuple):
    """An exception response (Application Protocol 1.1b3, 7): the unit answers and says no."""

    code: int

    @property
    def unknown_here(self) -> bool:
        """Function, address or value mean nothing to this device: asking again changes nothing."""
        return self.code in {1, 2, 3}
