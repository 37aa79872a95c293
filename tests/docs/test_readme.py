"""What the README counts is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accounts.models import ApiToken
from tests.factories import make_tenant
from vendors import registry

README = (Path(__file__).parents[2] / "README.md").read_text()
WORDS = {"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15}


def test_the_number_of_vendors() -> None:
    told = re.search(r"adapters for (\w+) vendors", README)
    assert told is not None
    assert WORDS[told[1]] == len(set(registry.ADAPTERS) - {"simulator", "http_generic"})


@pytest.mark.django_db
def test_the_length_of_a_token() -> None:
    told = re.search(r"`Chan-Token` \| `[^`]*` \((\d+) characters\)", README)
    assert told is not None
    assert int(told[1]) == len(ApiToken.issue(make_tenant())[1])
