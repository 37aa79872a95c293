"""What the tests of the services share."""

from collections.abc import Iterator

import pytest

from tests.services.stand_ins import Vendor, vendor_on_loopback


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A carrier on loopback that takes everything, unless told otherwise."""
    with vendor_on_loopback() as running:
        yield running
