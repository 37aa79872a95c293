"""What each vendor can do, as a table: read off the adapters, so that it cannot lag behind them."""

from __future__ import annotations

from vendors.base import Adapter
from vendors.registry import ADAPTERS
from vendors.values import Channel

COLUMNS = (
    "vendor",
    "SMS",
    "MMS",
    "SMS instead of an MMS",
    "delivery reports",
    "status on request",
    "inbound",
    "how its calls prove themselves",
    "unknown outcome",
    "messages per call",
    "credentials can be tested",
    "who answers STOP",
    "tried live",
)

_FALLBACK = {"vendor": "by the vendor", "connector": "by the connector", "": "-"}


def rows() -> list[tuple[str, ...]]:
    """One row per vendor that may be used outside a demo, by name."""
    real = [adapter for adapter in ADAPTERS.values() if not adapter.demo_only]
    return [_row(adapter) for adapter in sorted(real, key=lambda adapter: adapter.label.casefold())]


def markdown() -> str:
    """The table of docs/vendors/README.md; each vendor's name leads to its page."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS)]
    linked = {adapter.label: f"[{adapter.label}]({adapter.key}.md)" for adapter in ADAPTERS.values()}
    lines += [(linked[row[0]], *row[1:]) for row in rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(adapter: Adapter) -> tuple[str, ...]:
    about = adapter.about
    inbound = ", ".join(channel.upper() for channel in sorted(about.inbound, reverse=True))
    return (
        adapter.label,
        _yes(Channel.SMS in adapter.channels),
        _yes(Channel.MMS in adapter.channels),
        _FALLBACK[about.fallback],
        about.reports,
        _yes(_overrides(adapter, "poll") or _overrides(adapter, "look_up")),
        inbound or "-",
        about.proof,
        about.unknown_outcome,
        str(adapter.batch_size),
        _yes(_overrides(adapter, "credential_check")),
        about.stop or "-",
        about.tried_live.isoformat() if about.tried_live else "never",
    )


def _overrides(adapter: Adapter, method: str) -> bool:
    return getattr(type(adapter), method) is not getattr(Adapter, method)


def _yes(fact: bool) -> str:
    return "yes" if fact else "-"
