"""Whose opens and clicks may be measured: what a person said, under the mode the operator chose."""

from newsletter.config import current_settings
from newsletter.subscribers.models import TrackingState


def measured_states() -> frozenset[TrackingState]:
    """Return the states that allow measuring. Who refused is measured in no mode."""
    if current_settings().tracking == "off":
        return frozenset()
    if current_settings().tracking == "notice":
        return frozenset({TrackingState.GRANTED, TrackingState.UNKNOWN})
    return frozenset({TrackingState.GRANTED})
