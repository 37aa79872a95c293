"""Processes that end when the process that started them ends. Only Linux can do that; elsewhere they live on.

`python -m messaging.watch.processes COMMAND…` becomes COMMAND, which gets SIGTERM when its starter ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

WEB_SERVER_PID = "WEB_SERVER_PID"  # set by `manage.py web`, whose process becomes the server's first one
WEB_SERVER_BEGAN = "WEB_SERVER_BEGAN"  # unix time, likewise
WEB_SERVER_SETTLED = 15.0  # seconds after which the server's first processes have started

_PR_SET_PDEATHSIG = 1
_forking = 0  # the process that forked last; in its child, the parent


def signal_at_end_of(parent: int, number: signal.Signals) -> bool:
    """Asks for that signal at the end of this process's parent; it outlives an exec and not a fork. False: the parent
    has ended already."""
    if not sys.platform.startswith("linux"):
        return True
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def end_with_parent() -> None:
    """This process, and all that it forks from now on, are killed when their parent ends: no orphan keeps a lease."""
    _end_with(os.getppid())
    os.register_at_fork(before=_remember, after_in_child=lambda: _end_with(_forking))


def end_with_web_server() -> None:
    """In a process below `manage.py web`: it is killed when that process ends, so that none keeps the port.

    A SIGTERM would ask for the requests in flight to be answered, and a server process may wait for them for ever.
    """
    server = os.environ.get(WEB_SERVER_PID)
    if server is None:
        return
    # Until the server sets its own handler, the one inherited from its first process would swallow a SIGTERM.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not signal_at_end_of(int(server), signal.SIGKILL):
        sys.exit("The web server that started this process is gone.")


def become(command: list[str]) -> None:
    """Becomes that program, which gets SIGTERM when the starter of this process ends; it keeps no port then."""
    if not signal_at_end_of(os.getppid(), signal.SIGTERM):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  (no shell is wanted)


def _remember() -> None:
    global _forking
    _forking = os.getpid()


def _end_with(parent: int) -> None:
    if not signal_at_end_of(parent, signal.SIGKILL):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    become(sys.argv[1:])
