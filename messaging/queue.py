"""The task engine, behind one door. It only rings bells: every piece of work is a row (docs/adr/0002).

django-q2 may lose or repeat a task, and a killed child can freeze a cluster; nothing here relies on more than "soon".
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

from django_q.models import OrmQ
from django_q.tasks import async_task

QUEUE_VARIABLE = "Q_CLUSTER_NAME"  # which queue a cluster serves: each worker has its own
LIFELINE_VARIABLE = "CONNECTOR_LIFELINE"  # the reading end of a pipe that the worker holds open

_PR_SET_PDEATHSIG = 1


def ring(task: str, *args: object, queue: str) -> None:
    """Asks the cluster of that queue to run a task soon, once or twice or never."""
    async_task(task, *args, q_options={"cluster": queue})


def forget(queue: str) -> int:
    """Removes what was rung and not run."""
    count: int = OrmQ.objects.filter(key=queue).delete()[0]
    return count


def cluster_command(manage: Path) -> list[str]:
    """How a cluster is started; QUEUE_VARIABLE in its environment names the queue."""
    return [sys.executable, str(manage), "qcluster"]


def in_cluster() -> bool:
    """Whether this process belongs to a cluster."""
    return QUEUE_VARIABLE in os.environ


def stopped() -> bool:
    """Whether the worker let go of the lifeline: it is stopping, or dead. Outside a worker: never."""
    lifeline = os.environ.get(LIFELINE_VARIABLE)
    if not lifeline:
        return False
    readable, _, _ = select.select([int(lifeline)], [], [], 0)
    return bool(readable)


def die_with_parent() -> None:
    """This process and all that it forks are killed when their parent dies: no orphan keeps a lease (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    _bind_to_parent()
    os.register_at_fork(after_in_child=_bind_to_parent)


def _bind_to_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        os.kill(os.getpid(), signal.SIGKILL)
