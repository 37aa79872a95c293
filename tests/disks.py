"""Disks that are full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def full(directory: Path) -> Iterator[Path]:
    """A file system of one megabyte, mounted there, and not a byte of it free. Skips the test without root."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        with (directory / "fill").open("wb", buffering=0) as fill:
            try:
                while fill.write(bytes(4096)):
                    pass
            except OSError:
                os.fsync(fill.fileno())
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
