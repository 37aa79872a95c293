"""`/metrics` for Prometheus: what the processes counted, and what the rows say about waiting work.

`manage.py web` makes settings.METRICS_DIR, where its processes share their counters; a worker on the same machine
that is given the same PROMETHEUS_MULTIPROC_DIR counts there too. Without it a process shows its own counters.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from connector.health import readiness

log = logging.getLogger(__name__)

SHARED = "PROMETHEUS_MULTIPROC_DIR"


def metrics(request: HttpRequest) -> HttpResponse:
    """Everything in the text format; one query."""
    counted = REGISTRY
    if os.environ.get(SHARED):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    looked_up = CollectorRegistry()
    looked_up.register(Rows())
    return HttpResponse(
        generate_latest(counted) + generate_latest(looked_up), content_type=CONTENT_TYPE_LATEST
    )


def prepare(directory: Path) -> None:
    """Make the shared directory, and delete what processes that no longer live have left there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a full disk: each process counts in memory
        log.warning("no directory for metrics", extra={"error": type(error).__name__})
    for file in [*directory.glob("*_*.db"), *directory.glob("*_*.new")]:
        pid = file.stem.rpartition("_")[2]
        if not (pid.isdigit() and _is_alive(int(pid))):
            file.unlink(missing_ok=True)


class Rows(Collector):
    """The same look as /readyz, as gauges; an age that does not exist (nothing is due) is left out."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = readiness()
        yield GaugeMetricFamily("connector_ready", "1 when /readyz says 200.", value=float(found.ready))
        beat = GaugeMetricFamily(
            "connector_pump_beat_age_seconds", "Since the last sign of life of any pump."
        )
        if found.beat_age is not None:
            beat.add_metric([], found.beat_age)
        yield beat
        oldest = GaugeMetricFamily(
            "connector_oldest_due_age_seconds", "Wait of the oldest due work that could run.", labels=["kind"]
        )
        for kind, age in found.oldest_due.items():
            if age is not None:
                oldest.add_metric([kind], age)
        yield oldest
        refusing = GaugeMetricFamily(
            "connector_refusing_destinations",
            "Destinations whose circuit opened and has not closed again.",
            labels=["kind"],
        )
        for kind, count in found.refusing.items():
            refusing.add_metric([kind], count)
        yield refusing
        off = GaugeMetricFamily(
            "connector_clock_off_seconds",
            "How far a clock is ahead of the database's: this web process's, and the worker's that is furthest off.",
            labels=["process"],
        )
        for process, seconds in found.clock_off.items():
            off.add_metric([process], seconds)
        yield off


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
