"""What is counted and not stored. Shown at /metrics; figures about rows are read from the rows."""

from __future__ import annotations

from prometheus_client import Counter

from messaging import counter_files

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
