"""A dimmable lamp without a voice: what it does with power, and its meter."""

import random
import time

RATED_W = 60.0
STANDBY_W = 0.5  # controller and radio
MAINS_V = 229.0


class Bulb:
    """`level` is in %, kept while it is off. One that `failed` draws no more than stand-by power."""

    def __init__(self, rng: random.Random) -> None:
        self.on = False
        self.level = 100
        self.failed = False
        self.obeyed = 0
        self._energy_kwh = rng.uniform(10, 200)
        self._metered_s = time.monotonic()

    @property
    def power_w(self) -> float:
        burning = self.on and not self.failed
        return STANDBY_W + (RATED_W - STANDBY_W) * (self.level / 100 if burning else 0)

    def energy_kwh(self) -> float:
        """Counted at the power that held since the last call: call it before anything changes."""
        now_s = time.monotonic()
        self._energy_kwh += self.power_w * (now_s - self._metered_s) / 3_600_000
        self._metered_s = now_s
        return self._energy_kwh

    def switch(self, *, on: bool) -> None:
        self.energy_kwh()
        self.on = on
        self.obeyed += 1

    def dim(self, level: int) -> None:
        """0 switches off and keeps the level, as Tasmota and Zigbee lights do."""
        self.energy_kwh()
        self.on = level > 0
        if level > 0:
            self.level = min(level, 100)
        self.obeyed += 1
