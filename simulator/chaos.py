"""The harm that a campaign does to itself, announced: what it is, and when."""

from __future__ import annotations

from collections.abc import Callable

from simulator.bloomreach import Bloomreach
from simulator.campaign import Deed, break_carrier

DENY_AT, KILL_AT, THROTTLE_AT = 1.5, 4.0, 7.5  # seconds after the start of the campaign
THROTTLE_SECONDS, DENY_SECONDS = 3.0, 5.0


def deeds(
    bloomreach: Bloomreach, *, carrier_url: str, kill_worker: Callable[[], None] | None = None
) -> list[Deed]:
    """Everything that is done on purpose. Without `kill_worker` the worker is spared."""
    planned = [
        Deed(0.0, "harm: the carrier takes the messages to …24 and never answers", _nothing),
        Deed(
            THROTTLE_AT,
            f"harm: the carrier answers 429 to everything for {THROTTLE_SECONDS:.0f} s",
            lambda: break_carrier(carrier_url, mode="429", seconds=THROTTLE_SECONDS),
        ),
        Deed(
            DENY_AT,
            f"harm: Bloomreach answers 401 to every callback for {DENY_SECONDS:.0f} s",
            lambda: bloomreach.deny(status=401, seconds=DENY_SECONDS),
        ),
    ]
    if kill_worker is not None:
        planned.append(Deed(KILL_AT, "harm: kill -9 of the worker, which is then started again", kill_worker))
    return planned


def _nothing() -> None:
    """The recipients' numbers do it."""
