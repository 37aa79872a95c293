"""The worker: keeps its slots filled, sweeps, and restarts its cluster when the pumps fall silent (ADR 2)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db import connection as database

from messaging.queues import destinations
from messaging.watch import clock
from messaging.watch.watchdog import Watchdog, notify
from messaging.worker import broker, moving, pump, slots, sweep

log = logging.getLogger(__name__)

TICK = 0.2  # seconds
SWEEP_EVERY = 1.0
VALIDITY_EVERY = 5.0
REGISTER_EVERY = 10.0  # again, in case another worker took us for dead
HOUSEKEEPING_EVERY = 600.0
RESPAWN_AFTER = 1.0
PATIENCE_MAX = 300.0  # seconds of silence before a cluster is restarted, at the most
STILL_MAX = 120.0  # seconds in which the loop must turn once, or the process ends
HOUSEKEEPING_MAX = 3600.0  # making a late partition moves its rows
STALLED = 5.0  # seconds between two looks at the pumps, after which this process stood still itself
STOP_GRACE = 3.0  # for a cluster that has nothing in flight any more


def _name() -> str:
    """Of a worker. Letters after the host's name: the log masks long runs of digits, and this is no number."""
    letters = (chr(ord("a") + byte % 26) for byte in uuid4().bytes[:8])
    return f"{socket.gethostname()[:60]}-{''.join(letters)}"


class Supervisor:
    """One worker process: its name, its cluster, and when it last did what."""

    def __init__(self, manage: Path) -> None:
        self.manage = manage
        self.name = _name()
        self.stop = threading.Event()
        self.cluster: subprocess.Popen[bytes] | None = None
        self.stop_pipe: int | None = None
        self.spawned_at = 0.0
        self.last_alive = time.monotonic()
        self.patience: float = settings.ROW_LEASE
        self.looked_at = time.monotonic()
        self.clock_off = 0.0  # seconds ahead of the database
        self.done_at: dict[str, float] = {}
        self.watchdog = Watchdog("worker", patience=STILL_MAX)

    def run(self) -> None:
        """Works until `stop` is set, then lets the pumps finish what is in flight."""
        log.info("worker started", extra={"worker": self.name})
        notify("READY=1")
        with self.watchdog:
            self.turn()
            notify("STOPPING=1")
            self.leave()

    def turn(self) -> None:
        """Looks after everything until `stop` is set."""
        while not self.stop.is_set():
            self.watchdog.turned()
            self.keep_cluster()
            try:
                self.tick()
            except (OperationalError, InterfaceError) as error:
                log.warning("database away", extra={"error": type(error).__name__})
                database.close()
                self.last_alive = time.monotonic()
                self.stop.wait(1)
            except Exception:  # a bug in one sweep must not keep the pumps from being started
                log.exception("worker failed", extra={"worker": self.name})
                self.stop.wait(1)
            self.stop.wait(TICK)

    def tick(self) -> None:
        """Starts pumps, sweeps and watches; raises when the database is away."""
        if self.due("clock", clock.COMPARE_EVERY):
            self.clock_off = clock.compare()
        if self.due("register", REGISTER_EVERY):
            slots.register(self.name, slots=settings.PUMPS, clock_off=self.clock_off)
        if self.due("housekeeping", HOUSEKEEPING_EVERY):
            self.watchdog.turned(allow=HOUSEKEEPING_MAX)
            slots.remove_dead()
            broker.tidy(self.name)
            sweep.prepare_partitions(datetime.now(UTC).date())
            destinations.prune()
        slots.wake(self.name)
        if self.due("sweep", SWEEP_EVERY):
            sweep.lost_calls()
            sweep.lost_posts()
            sweep.overdue_reports()
            moving.move_waiting()
            moving.follow_accounts()
            self.allow_for_stall()
            self.watch()
        if self.due("validity", VALIDITY_EVERY):
            sweep.used_up()

    def due(self, what: str, every: float) -> bool:
        """Whether it is time to do something again."""
        now = time.monotonic()
        if now - self.done_at.get(what, -every) < every:
            return False
        self.done_at[what] = now
        return True

    def allow_for_stall(self) -> None:
        """A stall of the database, a stopped process or a paused machine hit the pumps as well: they get their time
        again, since what they hold unrecorded would be lost with them."""
        now = time.monotonic()
        if now - self.looked_at > STALLED:
            self.last_alive = now
        self.looked_at = now

    def watch(self) -> None:
        """Restarts the cluster when work is due and no pump of ours is alive for four call deadlines.

        A busy machine may need longer to start one: each restart in vain doubles the patience.
        """
        now = time.monotonic()
        if slots.busy(self.name):
            self.patience = settings.ROW_LEASE
            self.last_alive = now
        elif not pump.peek().anything:
            self.last_alive = now
        elif now - max(self.last_alive, self.spawned_at) > self.patience:
            log.error("pumps are silent: restarting the cluster", extra={"worker": self.name})
            self.patience = min(2 * self.patience, PATIENCE_MAX)
            self.kill_cluster()

    def keep_cluster(self) -> None:
        """Starts the cluster when there is none."""
        if self.cluster is not None and self.cluster.poll() is None:
            return
        if self.cluster is not None:
            log.error("cluster ended", extra={"worker": self.name, "code": self.cluster.returncode})
            self.kill_cluster()
            self.stop.wait(max(0.0, self.spawned_at + RESPAWN_AFTER - time.monotonic()))
        reading, self.stop_pipe = os.pipe()
        try:
            settings.METRICS_DIR.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # a full disk: the pumps count in memory
            log.warning("no directory for metrics", extra={"error": type(error).__name__})
        environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": str(
                settings.METRICS_DIR
            ),  # the web's /metrics shows the pumps' counts
            broker.QUEUE_VARIABLE: self.name,
            broker.STOP_PIPE_VARIABLE: str(reading),
        }
        # A session of its own, so that the whole group can be ended and a terminal's Ctrl-C does not reach it.
        self.cluster = subprocess.Popen(
            broker.cluster_command(self.manage), env=environment, pass_fds=[reading], start_new_session=True
        )
        os.close(reading)
        self.spawned_at = time.monotonic()

    def kill_cluster(self) -> None:
        """Ends the whole process group."""
        self.close_stop_pipe()
        if self.cluster is None:
            return
        try:
            os.killpg(self.cluster.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("cluster was gone", extra={"worker": self.name})
        self.cluster.wait()
        self.cluster = None

    def close_stop_pipe(self) -> None:
        """Tells the pumps to stop claiming."""
        if self.stop_pipe is not None:
            os.close(self.stop_pipe)
            self.stop_pipe = None

    def leave(self) -> None:
        """No new claims; calls in flight are finished; then the cluster ends, by force if it hangs."""
        self.close_stop_pipe()
        end = time.monotonic() + settings.CALL_DEADLINE + 15
        while self.is_busy() and time.monotonic() < end:
            time.sleep(0.1)
        self.end_cluster()
        try:
            slots.remove(self.name)
        except (OperationalError, InterfaceError):
            log.warning("slots are left to the other workers")
        log.info("worker stopped", extra={"worker": self.name})

    def is_busy(self) -> bool:
        """Whether pumps of ours may still have calls in flight; yes, while the database cannot tell."""
        try:
            return bool(slots.busy(self.name))
        except (OperationalError, InterfaceError):
            log.warning("database away while stopping")
            database.close()
            return True

    def end_cluster(self) -> None:
        """Asks the main process alone (its group would hang on it), then ends the group."""
        if self.cluster is not None and self.cluster.poll() is None:
            self.cluster.terminate()
            try:
                self.cluster.wait(STOP_GRACE)
            except subprocess.TimeoutExpired:
                log.debug("cluster is slow to stop")
        self.kill_cluster()
