"""Every script, in an order that works on one machine: the last one pulls the adapter out."""

from tests.qemu.driver_scenarios import DRIVER_SCENARIOS
from tests.qemu.scenarios import SCENARIOS

ALL = (*DRIVER_SCENARIOS, *SCENARIOS)
