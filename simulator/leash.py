"""`python -m simulator.leash COMMAND…`: becomes COMMAND, which ends when its starter does (on Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    starter = os.getppid()
    if sys.platform == "linux":
        # Survives exec. A demo whose window is closed must not leave servers on its ports.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != starter:
            sys.exit(1)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main()
