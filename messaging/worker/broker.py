"""The task engine, behind one door. Its tasks only start pumps: every piece of work is a row (docs/adr/0002).

django-q2 may lose or repeat a task, and a killed child can freeze a cluster; nothing here relies on more than "soon".
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from django.db import connection as database
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.models import OrmQ
from django_q.tasks import async_task

log = logging.getLogger(__name__)

QUEUE_VARIABLE = "Q_CLUSTER_NAME"  # which queue a cluster serves: each worker has its own
STOP_PIPE_VARIABLE = "CONNECTOR_STOP_PIPE"  # the reading end of a pipe that the worker holds open

TAKEN_LONG_AGO = 120  # seconds, more than a task may take
OUTAGE = 0.5  # seconds between two looks while the database is away

_PR_SET_PDEATHSIG = 1
_forking = 0  # the process that forked last; in its child, the parent


class Broker(ORM):  # type: ignore[misc]
    """Tasks in our own database. The cluster outlasts an outage of it: with django-q2's own broker, the pusher waits
    ten seconds for one lost connection and dies, the monitor dies at once, and the cluster does not start."""

    away = False

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        """The queued tasks, without asking the database whether it is there."""
        if not database.in_atomic_block:
            close_old_connections()
        return OrmQ.objects

    def dequeue(self) -> Sequence[tuple[int, str]] | None:
        """Queued tasks; None after a short wait."""
        try:
            taken: Sequence[tuple[int, str]] | None = super().dequeue()
        except (OperationalError, InterfaceError) as error:
            if not self.away:
                log.warning("database away", extra={"error": type(error).__name__})
            self.away = True
            database.close()
            time.sleep(OUTAGE)
            return None
        self.away = False
        return taken

    def delete(self, task_id: int) -> None:
        """Removes a task. One that cannot be removed now is swept later (`tidy`)."""
        try:
            super().delete(task_id)
        except (OperationalError, InterfaceError) as error:
            log.warning("database away", extra={"error": type(error).__name__})
            database.close()


def wake(task: str, *args: object, queue: str) -> None:
    """Asks the cluster of that queue to run a task soon, once or twice or never."""
    async_task(task, *args, q_options={"cluster": queue})


def forget(queue: str) -> int:
    """Removes the tasks of a queue that were not run."""
    count: int = OrmQ.objects.filter(key=queue).delete()[0]
    return count


def tidy(queue: str) -> int:
    """Removes tasks that stay behind: a cluster whose monitor was killed runs them and does not remove them."""
    taken_since = timezone.now() + timedelta(seconds=settings.Q_CLUSTER["retry"] - TAKEN_LONG_AGO)
    count: int = OrmQ.objects.filter(key=queue, lock__lt=taken_since).delete()[0]
    return count


def cluster_command(manage: Path) -> list[str]:
    """How a cluster is started; QUEUE_VARIABLE in its environment names the queue. The worker has made the checks."""
    return [sys.executable, str(manage), "qcluster", "--skip-checks"]


def in_cluster() -> bool:
    """Whether this process belongs to a cluster."""
    return QUEUE_VARIABLE in os.environ


def stopped() -> bool:
    """Whether the worker closed the stop pipe: it is stopping, or dead. Outside a worker: never."""
    stop_pipe = os.environ.get(STOP_PIPE_VARIABLE)
    if not stop_pipe:
        return False
    readable, _, _ = select.select([int(stop_pipe)], [], [], 0)
    return bool(readable)


def die_with_parent() -> None:
    """This process and all that it forks are killed when their parent dies: no orphan keeps a lease (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    _die_with(os.getppid())
    if stopped():  # the worker died before this process could ask for the signal
        os.kill(os.getpid(), signal.SIGKILL)
    os.register_at_fork(before=_remember, after_in_child=lambda: _die_with(_forking))


def _remember() -> None:
    global _forking
    _forking = os.getpid()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), signal.SIGKILL)
