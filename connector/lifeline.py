"""The server's processes end when the one that started them is killed, so that none keeps the port."""

import ctypes
import os
import signal
import sys

SERVER = "WEB_SERVER_PID"  # set by `manage.py web`, whose process becomes the server's first one
SERVER_BEGAN = "WEB_SERVER_BEGAN"  # unix time, likewise
SETTLED = 15.0  # seconds after which the server's first processes have started
PR_SET_PDEATHSIG = 1


def end_with_server() -> None:
    """In a process below `manage.py web`: get SIGKILL when that process dies (Linux only).

    A SIGTERM would ask for the requests in flight to be answered, and a server process may wait for them for ever.
    """
    server = os.environ.get(SERVER)
    if server is None:
        return
    # Until the server sets its own handler, the one inherited from its first process would swallow a SIGTERM.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(server):  # it died before the call above
        sys.exit("The web server that started this process is gone.")
