"""`python -m bench`: prepares settings of its own, then runs."""

import signal
import sys
from types import FrameType

import django

from bench import place


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


place.prepare()  # before Django reads its settings
django.setup()

from bench.program import main  # noqa: E402  (models: the apps must be loaded)

for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, _interrupt)  # everything is put away, as after Ctrl-C
try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
