"""`manage.py send_test`: one message by the front door, as Bloomreach would send it, followed until it is final."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import DEFAULT_HEADER
from messaging.books.timeline import Entry, named, timeline
from messaging.management import story
from messaging.models import Message
from messaging.rules.values import MessageState
from outbound import http
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors.values import Channel

LOOK_EVERY = 0.5  # seconds
ANSWER_SECONDS = 30.0  # a test message waits for the vendor before it is answered
TOKEN_VARIABLE = "CONNECTOR_TOKEN"  # noqa: S105  (the name of a variable)


class Command(BaseCommand):
    help = (
        "Send one message through the HTTP API and follow it. Without --request-id it is a test message, like one "
        f"from Bloomreach's Sandbox. The token is read from {TOKEN_VARIABLE}, or asked for. Beside a `make run`, its "
        "address, token and callback address are used. Exits 0 when the message is delivered (with --no-follow: "
        "accepted), 1 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("to", help="recipient, 00 and the number")
        parser.add_argument("--from", dest="sender", required=True, help="a number or name of the account")
        parser.add_argument("--text", default="Test message from the connector")
        parser.add_argument("--channel", choices=list(Channel), default=Channel.SMS)
        parser.add_argument("--media-url", help="MMS: address of the file")
        parser.add_argument("--fallback-text", default="", help="MMS: text for devices without MMS")
        parser.add_argument("--request-id", default="", help="makes it an ordinary message, sent once per id")
        parser.add_argument("--custom-data", default="test", help='handed back in callbacks; default: "test"')
        parser.add_argument(
            "--callback-url", default="", help="where delivery is told; needed with --request-id"
        )
        parser.add_argument("--header", default=DEFAULT_HEADER, help="header that carries the token")
        parser.add_argument("--second-header", default="", metavar="NAME: VALUE")
        parser.add_argument("--base-url", default="", help="default: that of `make run`, else PUBLIC_URL")
        parser.add_argument("--no-follow", action="store_true", help="stop after the answer")
        parser.add_argument("--timeout", type=float, default=60.0, help="seconds to follow it for")

    def handle(self, *args: Any, **options: Any) -> None:
        demo = {} if options["base_url"] else _demo()
        options["base_url"] = options["base_url"] or demo.get("base_url") or settings.PUBLIC_URL
        options["callback_url"] = options["callback_url"] or demo.get("callback_url") or ""
        if options["request_id"] and not options["callback_url"]:
            raise CommandError(
                "--request-id makes it an ordinary message, whose delivery is told: add --callback-url, "
                "an address at a host that the tenant allows"
            )
        answer = http.call(_request(options, _token(demo)), deadline=ANSWER_SECONDS, guard=None)
        if isinstance(answer, CallFailure):
            raise CommandError(f"{options['base_url']} could not be reached: {answer.text}")
        message_id = self._show(answer)
        if message_id is None:
            sys.exit(1)
        if not options["no_follow"]:
            self._follow(message_id, seconds=options["timeout"])

    def _show(self, answer: HttpResponse) -> UUID | None:
        """Prints the answer; the message's id when it was accepted."""
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = {"message": "the answer is not JSON: is this address the connector's?"}
        self.stdout.write(f"HTTP {answer.status} in {answer.seconds * 1000:.0f} ms")
        self.stdout.write(json.dumps(body, indent=2, ensure_ascii=False))
        return UUID(body["message_id"]) if answer.status == 200 and "message_id" in body else None

    def _follow(self, message_id: UUID, *, seconds: float) -> None:
        """Prints each new moment of the story until it has ended, or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        told: set[tuple[object, ...]] = set()
        self.stdout.write("")
        while True:
            message = _message(message_id)
            fresh = [entry for entry in timeline(message) if _identity(entry) not in told]
            told |= {_identity(entry) for entry in fresh}
            for line in story.lines(fresh):
                self.stdout.write(line)
            if message.final_at is not None:
                break
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_EVERY)
        self.stdout.write(f"\n{story.heading(message)}")
        if message.state != MessageState.DELIVERED:
            sys.exit(1)


def _demo() -> dict[str, str]:
    """What `make run` wrote down for scripts; empty where there is none."""
    try:
        facts = json.loads((settings.DATA_DIR / "demo.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: str(value) for name, value in facts.items()} if isinstance(facts, dict) else {}


def _token(demo: dict[str, str]) -> str:
    token = os.environ.get(TOKEN_VARIABLE) or demo.get("token")
    token = token or (getpass.getpass("Token: ") if sys.stdin.isatty() else "")
    if not token:
        raise CommandError(f"no token: set {TOKEN_VARIABLE}")
    return token


def _request(options: dict[str, Any], token: str) -> HttpRequest:
    headers = {options["header"]: token, "Content-Type": "application/json", "Connection": "close"}
    if options["second_header"]:
        name, _, value = options["second_header"].partition(":")
        headers[name.strip()] = value.strip()
    url = f"{options['base_url'].rstrip('/')}/{options['channel']}/send"
    return HttpRequest("POST", url, headers, json.dumps(_body(options)).encode())


def _body(options: dict[str, Any]) -> dict[str, Any]:
    body = {
        "from": options["sender"],
        "to": options["to"],
        "text": options["text"],
        "request_id": options["request_id"] or None,
        "custom_data": options["custom_data"],
        "callback_url": options["callback_url"],
        "metadata": {},
    }
    if options["channel"] == Channel.MMS:
        media = {"url": options["media_url"]} if options["media_url"] else {}
        body |= {"subject": "", "fallback_text": options["fallback_text"], "media": media}
    return body


def _message(message_id: UUID) -> Message:
    found = named(str(message_id))
    if not found:
        raise CommandError("accepted, but its story is not in this database: run this beside the connector")
    return found[0]


def _identity(entry: Entry) -> tuple[object, ...]:
    return (entry.at, entry.kind, entry.title)
