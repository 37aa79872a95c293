"""What is counted and not stored. Shown at /metrics; figures about rows are read from the rows."""

from __future__ import annotations

from collections import defaultdict

from prometheus_client import Counter

from messaging.watch import counter_files

counter_files.install()

requests_refused = Counter(
    "connector_requests_refused_total",
    "Bloomreach's requests that were refused, by the answer's code.",
    ["code"],
)
hooks_refused = Counter(
    "connector_hooks_refused_total", "Vendor calls that were refused, and stored nowhere.", ["reason"]
)
parked = Counter("connector_inbox_parked_total", "Vendor calls that could not be read.", ["vendor"])
contract_drift = Counter(
    "connector_contract_drift_total", "Words of a vendor that its adapter does not know.", ["vendor", "word"]
)

WORDS = (
    50  # of one vendor that a process counts one by one: whoever calls a hook can make up words without end
)
_words: defaultdict[str, set[str]] = defaultdict(lambda: {"charset"})


def drift(*, vendor: str, word: str) -> None:
    """Counts a word that the vendor's adapter does not know; those beyond WORDS together, as `others`."""
    known = _words[vendor]
    if len(known) < WORDS:
        known.add(word)
    contract_drift.labels(vendor=vendor, word=word if word in known else "others").inc()
