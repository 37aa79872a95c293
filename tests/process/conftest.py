"""Process tests: real servers on loopback, killed and restarted on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.stage import Stage, database, stage


@pytest.fixture
def running() -> Iterator[Stage]:
    """A database, a carrier, and nothing else yet."""
    with database() as url, stage(url) as made:
        yield made
