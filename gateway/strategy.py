"""When a value of a point is reported: kept in the journal and sent on. Part of profiles and devices."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.settings import Duration, Section, wrong
from gateway.words.text import fault


class Strategy(Section):
    """`report:` of a point. Without one every value is reported.

    `on_change` and the deadbands say what counts as news against the value that was reported last:
    another value; one that differs by more than `deadband` (unit of the point) or by more than
    `deadband_percent` of the value reported last. Without them every value is news. News waits until
    `min_interval` has passed since the last report; after `max_silence` the next value is reported
    whatever it is. All in seconds of the sample's own time.
    """

    on_change: bool = False
    deadband: Annotated[int | float, Field(gt=0)] | None = None
    deadband_percent: Annotated[int | float, Field(gt=0, le=100)] | None = None
    min_interval: Duration = 0.0
    max_silence: Duration | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        criteria = [self.on_change, self.deadband is not None, self.deadband_percent is not None]
        if sum(criteria) > 1:
            raise wrong(*fault("setting.criteria"))
        if not any(criteria) and not self.min_interval:
            raise wrong(*fault("setting.no_criterion"))
        if self.max_silence is not None and self.max_silence <= self.min_interval:
            raise wrong(*fault("setting.silence"))
        return self

    @property
    def numeric(self) -> bool:
        """It needs numbers."""
        return self.deadband is not None or self.deadband_percent is not None
