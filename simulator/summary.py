"""A verdict in words: the table, the three lines, the stories, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from simulator.screen import BOLD, GREEN, RED, Screen
from simulator.verdict import CampaignVerdict
from vendors.values import Channel

CHANNELS = tuple(channel.value for channel in Channel)
LINES = (
    ("forgotten", "accepted messages that reached no final state"),
    ("sent twice", "messages that the carrier took more than once"),
    ("unaccounted", "finals not told to Bloomreach exactly once"),
)


def show(verdict: CampaignVerdict, screen: Screen, *, base_url: str) -> None:
    """Prints everything that there is to say."""
    screen.say()
    screen.table(["", *(channel.upper() for channel in CHANNELS), "total"], _rows(verdict))
    screen.say()
    screen.say(f"callbacks received  {verdict.events} events in {verdict.posts} posts{_aside(verdict)}")
    screen.say(f"inbound messages    {verdict.inbound}")
    harm = ", the harm above included" if verdict.harmed else ""
    screen.say(f"accept to final     p50 {_clock(verdict, 0.5)}, p99 {_clock(verdict, 0.99)}{harm}")
    screen.say()
    for (name, meaning), count in zip(LINES, _counts(verdict), strict=True):
        figure = screen.paint(f"{name} {count}", BOLD, RED if count else GREEN)
        screen.say(f"{figure}{' ' * (16 - len(name) - len(str(count)))}{meaning}")
    for problem in verdict.problems:
        screen.say(screen.paint(f"  {problem}", RED))
    _show_tales(verdict, screen, base_url)


def link(base_url: str, message_id: str) -> str:
    """A message's page in the admin."""
    return f"{base_url}/admin/messaging/message/{message_id}/change/"


def as_json(verdict: CampaignVerdict, *, base_url: str) -> dict[str, Any]:
    """The verdict for scripts. Times in seconds."""
    return {
        "good": verdict.good,
        "accepted": dict(verdict.accepted),
        "duplicates_answered": dict(verdict.duplicates),
        "sent": dict(verdict.sent),
        "delivered": dict(verdict.delivered),
        "delivered_as_sms": verdict.fell_back,
        "failed": dict(_reasons(verdict)),
        "unconfirmed": dict(verdict.unconfirmed),
        "callback_events": verdict.events,
        "callback_posts": verdict.posts,
        "callbacks_denied": verdict.denied,
        "inbound": verdict.inbound,
        "send_retries": verdict.retries,
        "accept_to_final_p50": verdict.percentile(0.5),
        "accept_to_final_p99": verdict.percentile(0.99),
        "forgotten": verdict.forgotten,
        "sent_twice": verdict.twice,
        "unaccounted": verdict.unaccounted,
        "problems": list(verdict.problems),
        "stories": [
            {"title": tale.title, "message_id": tale.message_id, "url": link(base_url, tale.message_id)}
            for tale in verdict.tales
        ],
    }


def _rows(verdict: CampaignVerdict) -> list[list[str]]:
    rows = [
        _row("accepted", verdict.accepted),
        _row("duplicates answered", verdict.duplicates),
        _row("sent", verdict.sent),
        _row("delivered", verdict.delivered),
    ]
    if verdict.fell_back:
        rows.append(["  of these as SMS", "", str(verdict.fell_back), str(verdict.fell_back)])
    rows.append(_row("failed", _total_failed(verdict)))
    for reason, _ in _reasons(verdict).most_common():
        by_channel = Counter({channel: verdict.failed[channel, reason] for channel in CHANNELS})
        rows.append(_row(f"  {reason}", by_channel))
    rows.append(_row("unconfirmed", verdict.unconfirmed))
    return rows


def _row(label: str, counts: Counter[str]) -> list[str]:
    figures = [counts[channel] for channel in CHANNELS]
    return [label, *(str(figure) for figure in (*figures, sum(figures)))]


def _total_failed(verdict: CampaignVerdict) -> Counter[str]:
    total: Counter[str] = Counter()
    for (channel, _), count in verdict.failed.items():
        total[channel] += count
    return total


def _reasons(verdict: CampaignVerdict) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for (_, reason), count in verdict.failed.items():
        reasons[reason] += count
    return reasons


def _counts(verdict: CampaignVerdict) -> tuple[int, int, int]:
    return verdict.forgotten, verdict.twice, verdict.unaccounted


def _aside(verdict: CampaignVerdict) -> str:
    return f", {verdict.denied} more posts were denied on purpose" if verdict.denied else ""


def _clock(verdict: CampaignVerdict, share: float) -> str:
    seconds = verdict.percentile(share)
    return "-" if seconds is None else f"{seconds:.2f} s"


def _show_tales(verdict: CampaignVerdict, screen: Screen, base_url: str) -> None:
    if not verdict.tales:
        return
    screen.say()
    screen.say(screen.paint("The best stories", BOLD))
    for tale in verdict.tales:
        attempts = "1 attempt" if tale.attempts == 1 else f"{tale.attempts} attempts"
        screen.say(f"  {tale.title} ({attempts}, told after {tale.seconds:.1f} s)")
        screen.say(f"    {link(base_url, tale.message_id)}")
