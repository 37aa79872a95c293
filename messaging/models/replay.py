"""A replay: an operator's order to do something again, carried out by the pumps, crash-safe by its cursor."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class ReplayKind(models.TextChoices):
    """What is done again."""

    EVENTS = "events", "Events"  # tell them again: same event id
    MESSAGES = "messages", "Messages"  # send copies
    REPORTS = "reports", "Reports"  # stored calls of vendors go back into the inbox


class ReplayState(models.TextChoices):
    """How far it is."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"
    STOPPED = "stopped", "Stopped"


class Replay(models.Model):
    """What to replay, why, for whom, and how far it is."""

    kind = models.CharField(max_length=10, choices=ReplayKind.choices)
    filter = models.JSONField(default=dict)  # tenant, account, status, since, until, ids
    may_duplicate = models.BooleanField(
        default=False, help_text="Also resend messages that may have been sent already."
    )
    corrections = models.BooleanField(default=False, help_text="Tell Bloomreach about contradicting finals.")
    rate = models.FloatField(
        null=True, blank=True, help_text="Rows per second; empty: as fast as the queues allow."
    )
    state = models.CharField(max_length=8, choices=ReplayState.choices, default=ReplayState.RUNNING)
    cursor = models.CharField(max_length=60, blank=True, db_default="")  # the last id that was handled
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0, db_default=0)
    skipped = models.IntegerField(default=0, db_default=0)
    due_at = models.DateTimeField(db_default=Now())
    requested_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="replay_state_known", condition=models.Q(state__in=ReplayState.values)
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                name="replay_running", fields=["due_at"], condition=models.Q(state=ReplayState.RUNNING)
            ),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk} of {self.kind}"
