"""What docstrings and comments cite must exist: sections of the contract, headings of the architecture, ADRs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITATION = re.compile(
    r'\b(?:([Cc]ontract) (\d[\d, -]*\d|\d)\b|([Aa]rchitecture)(?: (\d\S*)|,? "([^"]+)")|(ADR) (\d+))'
)


def headings(name: str) -> set[str]:
    return set(re.findall(r"^## (.+)$", (ROOT / "docs" / name).read_text(), re.MULTILINE))


def sections(cited: str) -> set[str]:
    """`3-5, 7` as {3, 4, 5, 7}."""
    found: set[str] = set()
    for part in cited.split(","):
        first, _, last = part.strip().partition("-")
        found |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return found


CONTRACT = {heading.partition(".")[0] for heading in headings("contract.md")}
ARCHITECTURE = headings("architecture.md")
DECISIONS = {str(int(path.name[:4])) for path in (ROOT / "docs" / "adr").glob("0*.md")}


def unresolved(text: str) -> list[str]:
    """The citations in `text` that lead nowhere."""
    wrong = []
    for cited in CITATION.finditer(text):
        _, contract, _, number, heading, _, decision = cited.groups()
        if (
            (contract and not sections(contract) <= CONTRACT)
            or number
            or (heading and heading not in ARCHITECTURE)
            or (decision and decision not in DECISIONS)
        ):
            wrong.append(cited.group())
    return wrong


FILES = subprocess.run(
    ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()


def test_every_citation_resolves() -> None:
    found = {name: unresolved((ROOT / name).read_text()) for name in FILES if (ROOT / name).exists()}
    assert {
        name: wrong for name, wrong in found.items() if wrong and name != "tests/docs/test_citations.py"
    } == {}


@pytest.mark.parametrize(
    "text",
    [
        "(contract 99)",
        "contract 3, 99",
        "contract 3-12",
        "(architecture 1.5)",
        'architecture "Nowhere"',
        "ADR 99",
    ],
)
def test_a_citation_that_leads_nowhere_is_found(text: str) -> None:
    assert unresolved(text) != []


@pytest.mark.parametrize("text", ["(contract 3, 5)", "contract 1-4", 'architecture "Evidence"', "(ADR 6)"])
def test_a_citation_that_resolves_is_none(text: str) -> None:
    assert unresolved(text) == []
