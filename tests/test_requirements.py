"""requirements.lock is what a deployment installs: it must agree with the ranges and name no registry."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", LOCK, re.MULTILINE)
}
RANGES = [
    Requirement(line.partition("#")[0]) for line in (ROOT / "requirements.txt").read_text().splitlines()
]


@pytest.mark.parametrize("wanted", RANGES, ids=lambda wanted: wanted.name)
def test_the_lock_pins_a_version_within_the_range(wanted: Requirement) -> None:
    assert wanted.specifier.contains(PINNED[canonicalize_name(wanted.name)])


def test_each_pinned_version_has_hashes() -> None:
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]

    assert len(entries) == len(PINNED)
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_names_no_registry() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK


def test_urllib3_is_held_to_one_minor_version() -> None:
    """outbound/sockets.py overrides methods that a minor version may change (ADR 14)."""
    (urllib3,) = (wanted for wanted in RANGES if wanted.name == "urllib3")
    major, minor, *_ = PINNED["urllib3"].split(".")
    assert urllib3.specifier.contains(f"{major}.{minor}.99")
    assert not urllib3.specifier.contains(f"{major}.{int(minor) + 1}.0")
