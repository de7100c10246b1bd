"""`gateway probe modbus LINK --identify UNIT`: which profile fits, and the line to configure it."""

import argparse
import asyncio
from collections.abc import Sequence

from drivers.modbus.electrical import disagreements
from drivers.modbus.prober import Candidate, ProbeError, Prober, Verdict, opened
from gateway.cli import probe_pages as pages
from gateway.cli.probe_arguments import timeout_s, unit_of
from gateway.cli.probe_bus import Bus
from gateway.cli.probe_live import TIMEOUT_S, known_device
from gateway.cli.probe_pages import print_json
from gateway.cli.progress import progress
from gateway.clock import SystemClock
from gateway.profile import Profile, readable
from gateway.profile_choice import contested


def identify(bus: Bus, options: argparse.Namespace) -> int:
    """Exit code 0 when exactly one profile fits best."""
    unit = unit_of(options.identify)
    profiles, broken = readable(bus.folders, "modbus")
    bus.claim()
    candidates, taken_s = asyncio.run(_try_all(bus, options, unit, profiles))
    best = [c for c in candidates if c.verdict is Verdict.FITS and c.rank == candidates[0].rank]
    chosen = best[0] if len(best) == 1 else None
    if options.json:
        print_json(_as_json(candidates, chosen))
        return 0 if chosen else 1
    for line in [*_compared(unit, candidates), *(f"left out: {one}" for one in broken)]:
        print(line)
    print()
    for line in _chosen(bus, unit, chosen) if chosen else _undecided(best):
        print(line)
    for line in pages.round_trips(taken_s):
        print(line)
    return 0 if chosen else 1


async def _try_all(
    bus: Bus, options: argparse.Namespace, unit: int, profiles: Sequence[Profile]
) -> tuple[list[Candidate], list[float]]:
    """Every profile tried, the best first. Raises ProbeError if the unit does not answer at all."""
    found = []
    async with opened(bus.link, SystemClock(), timeout_s(options, TIMEOUT_S)) as prober:
        await _there(prober, unit)
        with progress("profiles") as advanced:
            for profile in profiles:
                found.append(await prober.try_profile(unit, profile))
                advanced(1, len(profiles))
    return sorted(found, key=lambda candidate: candidate.rank, reverse=True), prober.round_trips_s


async def _there(prober: Prober, unit: int) -> None:
    async for _, answer in prober.scan([unit], prober.timeout_s):
        if answer is None:
            raise ProbeError(f"unit {unit} does not answer: --scan shows who does")


def _compared(unit: int, candidates: Sequence[Candidate]) -> list[str]:
    rows = [(c.profile.profile, c.verdict, c.why) for c in candidates]
    lines = [f"unit {unit}:", *pages.columns(("profile", "verdict", "why"), rows)]
    lines += [f"hint: as {c.profile.profile}, {hint}" for c in candidates for hint in c.orders]
    return lines


def _chosen(bus: Bus, unit: int, chosen: Candidate) -> list[str]:
    profile, reading = chosen.profile, chosen.reading
    lines = [
        f"{profile.profile} ({profile.vendor} {profile.model}) fits: {chosen.why}",
        "",
        *pages.readings(profile, reading.values, reading.quality),
        *(f"look at this: {hint}" for hint in disagreements(reading.values)),
        "",
    ]
    known = known_device(bus, unit)
    if known is None:
        return [*lines, "for the configuration:", *_to_configure(bus, unit, chosen)]
    if known.profile.profile == profile.profile:
        return [*lines, f"the configuration has it so, as {known.id}"]
    wrong = f"the configuration has {known.id} as {known.profile.profile}: write"
    return [*lines, wrong, f"    profile: {profile.profile}"]


def _to_configure(bus: Bus, unit: int, chosen: Candidate) -> list[str]:
    profile, link = chosen.profile, bus.name or "bus-1"
    lines = [] if bus.name else ["links:", pages.link_line(link, bus.link)]
    keys = [f"profile: {profile.profile}", f"link: {link}", f"unit: {unit}"]
    if chosen.variants:
        keys.append(f"variant: [{', '.join(chosen.variants)}]")
    choices = [f"{name}: {' | '.join(each)}" for name, each in contested(profile).items()]
    keys += [f"decisions: {{{', '.join(choices)}}}"] if choices else []
    device = f"  {profile.type.replace('_', '-')}-{unit}: {{{', '.join(keys)}}}"
    undecided = ["of `decisions` keep what another instrument says is right"] if choices else []
    return [*lines, "devices:", device, *undecided]


def _undecided(best: Sequence[Candidate]) -> list[str]:
    if not best:
        return [
            "no profile fits: write one (docs/profiles.md); --read shows what single registers hold"
        ]
    fits = " and ".join(candidate.profile.profile for candidate in best)
    return [f"{fits} fit equally well: the type plate decides"]


def _as_json(candidates: Sequence[Candidate], chosen: Candidate | None) -> dict[str, object]:
    return {
        "profile": chosen.profile.profile if chosen else None,
        "candidates": [
            {"profile": c.profile.profile, "verdict": c.verdict, "why": c.why, "hints": c.orders}
            for c in candidates
        ],
        "values": dict(chosen.reading.values) if chosen else {},
        "quality": {n: q.reason for n, q in chosen.reading.quality.items()} if chosen else {},
        "hints": list(disagreements(chosen.reading.values)) if chosen else [],
    }
