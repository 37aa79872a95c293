"""How the stand-in carrier says no: wrong requests, refusals by number, faults switched on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from simulator.listener import Reply
from simulator.scenarios import CarrierAnswer, Scenario
from vendors.values import Channel


class Mode(StrEnum):
    """Faults that can be switched on for a while, over HTTP."""

    THROTTLE = "429"
    FAULT = "500"  # documented as not taken
    BAD_GATEWAY = "502"  # not taken, but a caller cannot know
    REFUSE_KEY = "401"
    HANG = "hang"  # not taken, never answered
    TAKE_AND_HANG = "take_and_hang"


def what_is_wrong(body: Mapping[str, Any]) -> str:
    """What makes a send unreadable; empty when nothing does."""
    for name in ("reference", "channel", "from", "to"):
        if not isinstance(body.get(name), str) or not body[name]:
            return f"{name} is missing"
    if body["channel"] not in tuple(Channel):
        return "channel must be sms or mms"
    if not body["to"].startswith("+") or not body["to"][1:].isdecimal():
        return "to must be + and digits"
    if body["channel"] == Channel.MMS and not body.get("media"):
        return "media is missing"
    return ""


def refusal(scenario: Scenario, *, first: bool) -> Reply | None:
    """The answer that the recipient's number asks for; None: the message is taken."""
    if scenario.answer is CarrierAnswer.REFUSE:
        return error(400, scenario.code, scenario.words)
    if not first:
        return None
    if scenario.answer is CarrierAnswer.THROTTLE_ONCE:
        return broken(Mode.THROTTLE)
    if scenario.answer is CarrierAnswer.FAIL_ONCE:
        return broken(Mode.FAULT)
    return Reply(silent=True) if scenario.answer is CarrierAnswer.HANG_ONCE else None


def broken(mode: Mode) -> Reply:
    """The answer of a carrier that misbehaves."""
    if mode is Mode.THROTTLE:
        return error(429, "4290", "Too many messages", {"Retry-After": "1"})
    if mode is Mode.FAULT:
        return error(500, "5001", "Not taken, send it again")
    if mode is Mode.BAD_GATEWAY:
        return Reply(502, {"message": "Bad gateway"})
    if mode is Mode.REFUSE_KEY:
        return error(401, "4010", "The API key is not valid")
    return Reply(silent=True)


def error(status: int, code: str, words: str, headers: Mapping[str, str] | None = None) -> Reply:
    """A refusal in the carrier's form."""
    return Reply(status, {"error": {"code": code, "message": words}}, headers or {})
