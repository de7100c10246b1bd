"""Teeth: with a part of the MQTT driver or of groups sabotaged, the test of its promise turns red."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import sabotage_mqtt as sabotage
from tests.harness.broker import Mosquitto
from tests.harness.sabotage import believe_every_write, write_once
from tests.harness.teeth import Tooth, bite_within
from tests.integration import test_mqtt_access as access
from tests.integration import test_mqtt_dialects as dialects
from tests.integration import test_mqtt_driver as driver

DECODING = [
    Tooth(sabotage.no_value_maps, dialects.test_a_tasmota_lamp_is_heard_and_obeys, '"device.online") is True'),
]  # fmt: skip
PRESENCE = [
    Tooth(sabotage.always_online, driver.test_the_last_will_tells_that_a_device_is_offline, '{"device.online": False}'),
    Tooth(sabotage.old_is_new, driver.test_a_retained_event_is_refused_and_counted, '{"id": "settled"}'),
    Tooth(sabotage.old_is_new, driver.test_a_retained_state_is_uncertain_until_a_live_message, "UNCERTAIN"),
    Tooth(sabotage.a_will_is_a_sign_of_life, dialects.test_a_device_that_is_silent_for_too_long_is_missing_until_it_speaks, '"alarm.silent") is True'),
]  # fmt: skip
GROUPS = [
    Tooth(write_once, dialects.test_who_did_not_hear_the_group_is_told_alone, "== CONFIRMED"),
    Tooth(believe_every_write, dialects.test_who_did_not_hear_the_group_is_told_alone, "listener.heard"),
    Tooth(sabotage.one_answer_for_all, dialects.test_a_member_that_is_away_fails_alone, "UNCONFIRMED"),
]  # fmt: skip
LIMITS = [
    Tooth(sabotage.no_rate_limit, access.test_a_flood_of_states_takes_nothing_from_the_alarms_of_the_device, '{"too_fast": 450}'),
    Tooth(sabotage.no_credit, access.test_what_the_broker_kept_while_we_were_away_is_no_flood, "errors == {}"),
]  # fmt: skip


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as one:
        yield one


@pytest.mark.parametrize("tooth", [*DECODING, *PRESENCE, *GROUPS, *LIMITS], ids=str)
async def test_teeth_of_decoding_presence_groups_and_limits(
    tooth: Tooth, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.attempt.BACKOFF_S", 0.01)  # as the guards have it
    await bite_within(10, tooth, monkeypatch.setattr, broker=broker, monkeypatch=monkeypatch)
