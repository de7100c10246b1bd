"""How a write is carried out where the rule that asks for it says so."""

from typing import NamedTuple

from gateway.model import Value

BACKOFF_S = 0.5  # after the first attempt; doubled after each
LONGEST_BACKOFF_S = 10.0
WRITE_TIMEOUT_S = 5.0  # one attempt to write, confirmation apart
RETRIES = 2


class Terms(NamedTuple):
    """What a rule asks of one write; None: as the profile says, or the gateway always does.

    The write is confirmed when point `feedback` shows `equals`, at most `within` s later. It is tried again
    `retry` times, the first time after `backoff` s; `timeout` s is what one attempt may take.
    """

    feedback: str | None = None
    equals: Value | None = None
    within: float | None = None
    retry: int | None = None
    backoff: float | None = None
    timeout: float | None = None


AS_USUAL = Terms()
