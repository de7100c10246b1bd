"""How far back the journal of a configuration goes, for rules that look back."""

from gateway.sections import File
from gateway.statedir import default_state_dir


def history_of(file: File | None) -> float | None:
    """For how many seconds samples are kept at their present rate, as `gateway.store.reach` measures
    it; None if that is not known, or nobody asks. Blocks.
    """
    if file is None or not file.rules:
        return None
    from gateway.store.reach import reach_s  # noqa: PLC0415 -- 20 ms that only rules need

    directory = file.gateway.state_dir or default_state_dir(file.gateway.id)
    return reach_s(directory, file.store.telemetry_quota)
