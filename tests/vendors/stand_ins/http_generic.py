"""A gateway like Kannel: sendsms by GET, answers in plain words; it reports and replies by GETs of given addresses."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

USER, PASSWORD = "shop", "a password & more"
REFUSED = "Authorization failed for sendsms"
WANTED = {
    "username",
    "password",
    "from",
    "to",
    "text",
    "charset",
    "coding",
    "validity",
    "dlr-mask",
    "dlr-url",
}


class HttpGenericStandIn(StandIn):
    key = "http_generic"
    channels = frozenset({Channel.SMS})

    def values(self) -> dict[str, str]:
        return {"preset": "kannel", "base_url": self.url, "username": USER, "password": PASSWORD}

    def answer(self, call: Call) -> Reply:
        if (call.method, call.path) != ("GET", "/cgi-bin/sendsms"):
            return self.refuse(404, b"Unknown request", f"{call.method} {call.path}")
        if (call.query.get("username"), call.query.get("password")) != (USER, PASSWORD):
            return self.refuse(403, REFUSED.encode(), "credentials")
        if missing := WANTED - {name for name, value in call.query.items() if value}:
            return self.refuse(400, b"Empty field not allowed, rejected", f"missing {sorted(missing)}")
        if wrong := fault(call.query):
            return self.refuse(400, b"Malformed field, rejected", wrong)
        report = call.query["dlr-url"]
        self.take(
            vendor_id="",
            sender=call.query["from"],
            recipient=call.query["to"],
            text=call.query["text"],
            reference=parse_qs(report.partition("?")[2])["ref"][0],
            hook_url=report,
        )
        return Reply(202, b"0: Accepted for delivery")

    def reports(self, taken: Taken) -> list[HookCall]:
        """Types 8 (the SMSC has it) and 1 (the handset has it), in the place of %d."""
        return [HookCall("GET", taken.hook_url.replace("%d", kind)) for kind in ("8", "1")]

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        """What an `sms-service` with a `get-url` fetches."""
        said = {
            "type": "mo",
            "id": "0b1c",
            "from": sender,
            "to": recipient,
            "text": text,
            "time": "1768471200",
        }
        return HookCall("GET", f"{self.hook_url}?{urlencode(said)}")


def fault(query: Mapping[str, str]) -> str:
    """What Kannel would not understand; "" when it understands all."""
    if not (query["to"].startswith("+") and query["to"][1:].isdecimal()):
        return f"to {query['to']}"
    if query["charset"] != "UTF-8" or query["coding"] != ("0" if plain(query["text"]) else "2"):
        return f"coding {query['coding']} for {query['text']}"
    if not query["validity"].isdecimal() or query["dlr-mask"] != "31" or "status=%d" not in query["dlr-url"]:
        return "validity or report"
    return ""


def plain(text: str) -> bool:
    """Whether the tests' texts fit into GSM-7."""
    return text.isascii()
