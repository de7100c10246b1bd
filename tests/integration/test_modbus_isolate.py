"""A device that lacks some registers of its profile: found, left out, everything else is read."""

import pytest

from gateway.model import Level, Sample
from gateway.profile import Profile
from tests.harness.modbus import SDM630, device, driver_for, eventually, farm_of, running
from tests.harness.recorder import Recorder


def lacking(profile: Profile, *names: str) -> Profile:
    """What an older version of the device knows; between its registers it knows nothing."""
    points = [point for point in profile.points if point.id not in names]
    limits = profile.limits.model_copy(update={"max_gap": 0})
    return profile.model_copy(update={"points": points, "limits": limits, "plausible": []})


def bad(sample: Sample) -> dict[str, str]:
    return {n: q.reason for n, q in sample.quality.items() if q.level is Level.BAD}


@pytest.mark.both_loops
@pytest.mark.parametrize("lost", [["elec.energy.export"], ["elec.current.b", "elec.pf.c", "elec.frequency"]])  # fmt: skip
async def test_the_points_that_a_device_has_are_all_read_from_the_second_poll_on(
    lost: list[str],
) -> None:
    bus = Recorder()
    async with farm_of(("m-1", lacking(SDM630, *lost), 1)) as farm:
        driver = driver_for(farm.port, [device("m-1", SDM630, 1)])
        async with running(driver, bus):
            await eventually(lambda: len(bus.samples) > 6)
            first = bus.samples[0]
            assert first.values.keys() | first.quality.keys() == SDM630.by_id.keys()
            assert all(bad(sample).keys() <= set(lost) for sample in bus.samples[2:])
            assert {reason for sample in bus.samples for reason in bad(sample).values()} == {"exception_2"}  # fmt: skip
            values = {name for sample in bus.samples for name in sample.values}
            assert values == SDM630.by_id.keys() - set(lost)
            refused, count = driver.health.counters["exceptions"], len(bus.samples)
            await eventually(lambda: len(bus.samples) > count + 4)
            assert (
                driver.health.counters["exceptions"] == refused
            )  # what is known is not asked again


async def test_after_a_silence_it_may_be_another_device_and_is_asked_anew() -> None:
    bus = Recorder()
    points = ["elec.current.b", "elec.current.c"]
    async with farm_of(("m-1", lacking(SDM630, *points), 1), ("m-2", SDM630, 2)) as farm:
        driver = driver_for(farm.port, [device("m-1", SDM630, 1), device("m-2", SDM630, 2)])
        async with running(driver, bus):
            await eventually(lambda: len(bus.of("m-1")) > 2)
            farm.stop("m-1")
            await eventually(lambda: "timeout" in bad(bus.of("m-1")[-1]).values())
            refused = driver.health.counters["exceptions"]
            farm.start("m-1")
            await eventually(lambda: driver.health.counters["exceptions"] > refused)
            await eventually(lambda: bad(bus.of("m-1")[-1]) == dict.fromkeys(points, "exception_2"))
