"""What a row that has a circuit breaker keeps: queues/circuit.py writes it, claims look at it."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

LONG_AGO = datetime(
    2000, 1, 1, tzinfo=UTC
)  # long past, so always due: it stands in place of NULL, which every condition would have to name


class Circuit(models.Model):
    """The circuit of one destination."""

    open_until = models.DateTimeField(default=LONG_AGO, db_default=LONG_AGO, editable=False)
    open_for = models.FloatField(default=0, db_default=0, editable=False)  # seconds of the last opening
    faults = models.PositiveIntegerField(default=0, db_default=0, editable=False)  # in a row
    # Hashes of what the faults were about, so that one message that fails again is no new evidence.
    witnesses = ArrayField(models.BigIntegerField(), default=list, db_default=[], editable=False)
    probes = models.PositiveSmallIntegerField(
        default=1, db_default=1, editable=False
    )  # calls at once, half-open
    last_fault = models.CharField(max_length=300, blank=True, default="", db_default="", editable=False)
    failed_at = models.DateTimeField(null=True, editable=False)
    ok_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
