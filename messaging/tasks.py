"""Entry points of the task engine: a name in, one service call, a word out."""

from __future__ import annotations

from messaging.worker import slots


def pump(worker: str, n: int) -> str:
    """Serves all queues for a while, if the slot is free. Running it twice is harmless: one of them returns at once."""
    return slots.serve(worker, n)
