"""Teeth: with a part sabotaged, the test that guards its promise turns red."""

from pathlib import Path

import pytest

from tests.harness import sabotage_mqtt as sabotage
from tests.harness.clock import FakeClock
from tests.harness.teeth import Tooth, bite
from tests.unit import test_audit as audit
from tests.unit import test_mqtt_admit as admit
from tests.unit import test_mqtt_mapped as mapped
from tests.unit import test_upstream_flow as flow
from tests.unit import test_upstream_meter as meter

DECODING = [
    Tooth(sabotage.topics_of_the_profile, mapped.test_topics_are_filled_in_from_the_device, "[topic"),
    Tooth(sabotage.first_of_a_list, mapped.test_a_path_leads_to_a_value_or_to_nothing, "== found"),
    Tooth(sabotage.first_of_a_list, mapped.test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold, "== []", {"name": "lwm2m-lamp"}),
    Tooth(sabotage.no_value_maps, mapped.test_a_message_gives_what_stands_at_the_paths, "== (values"),
    Tooth(sabotage.no_value_maps, mapped.test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold, "== []", {"name": "tasmota-light"}),
    Tooth(sabotage.no_scale, mapped.test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold, "== []", {"name": "zigbee2mqtt-light"}),
    Tooth(sabotage.no_conditions, mapped.test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold, "== []", {"name": "tasmota-light"}),
    Tooth(sabotage.no_conditions, mapped.test_a_shipped_mqtt_profile_is_sound_and_its_vectors_hold, "== []", {"name": "chirpstack-lamp"}),
]  # fmt: skip
LIMITS = [
    Tooth(sabotage.one_bucket_for_all, admit.test_telemetry_takes_nothing_from_alarms, "alarm=True"),
    Tooth(sabotage.every_stranger_is_remembered, admit.test_ten_thousand_strangers_take_the_place_of_256, "MAX_STRANGERS)"),
    Tooth(sabotage.every_payload_is_looked_into, admit.test_a_shape_has_a_bounded_number_of_keys, "== MAX_KEYS"),
]  # fmt: skip
DRAIN = [
    Tooth(sabotage.never_slower, flow.test_a_platform_that_slows_down_is_not_pressed_and_one_that_recovers_is_used_again, "queued_s <= 1"),
    Tooth(sabotage.never_faster, flow.test_the_drain_uses_what_the_platform_takes_and_keeps_its_queue_short, ">= 0.75"),
]  # fmt: skip
BOOKS = [
    Tooth(sabotage.books_of_this_run, meter.test_bytes_count_for_the_day_of_the_site_and_survive_a_restart, "== 10"),
    Tooth(sabotage.one_long_day, meter.test_bytes_count_for_the_day_of_the_site_and_survive_a_restart, "== 10"),
]  # fmt: skip
AUDIT = [
    Tooth(sabotage.hashes_are_believed, audit.test_a_changed_last_line_stays_as_it_is_and_stays_a_fault, "not as it was written"),
    Tooth(sabotage.lines_stand_alone, audit.test_a_line_forged_with_a_right_hash_of_its_own_breaks_the_chain, "== [4]"),
    Tooth(sabotage.lines_stand_alone, audit.test_lines_that_are_removed_doubled_or_exchanged_are_found, ".faults, each"),
    Tooth(sabotage.any_beginning, audit.test_lines_that_are_removed_doubled_or_exchanged_are_found, ".faults, each"),
    Tooth(sabotage.begin_anew, audit.test_what_was_settled_is_there_and_the_chain_goes_on_over_restarts, "== (3, 1, [])"),
    Tooth(sabotage.heads_are_forgotten, audit.test_a_log_that_was_cut_off_or_written_anew_is_found_by_a_head_that_was_known, '"cut off" in'),
]  # fmt: skip


@pytest.mark.parametrize("tooth", [*DECODING, *LIMITS, *DRAIN, *BOOKS, *AUDIT], ids=str)
def test_teeth_with_a_part_sabotaged_its_test_turns_red(
    tooth: Tooth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bite(tooth, monkeypatch.setattr, tmp_path=tmp_path, clock=evening())


def evening() -> FakeClock:
    clock = FakeClock()
    meter.at(clock, meter.EVENING)
    return clock
