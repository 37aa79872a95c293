"""A stand-in for Twilio's Messages resource; its calls to us are signed with the Auth Token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from simulator.listener import Call, Reply
from tests.vendors.stand_ins.base import HookCall, StandIn, Taken
from vendors.values import Channel

ACCOUNT = f"AC{'0' * 31}1"
TOKEN = "twilio-token-of-the-tests"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
FORM = "application/x-www-form-urlencoded"
NUMBER = re.compile(r"\+[1-9]\d{6,14}")
SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|[\w -]{1,11}")
KNOWN = {"To", "From", "Body", "MediaUrl", "ValidityPeriod", "StatusCallback"}


def signature(token: str, url: str, pairs: Iterable[tuple[str, str]], digest: str = "sha1") -> str:
    """The address, then each name with each of its distinct values, in order."""
    values: dict[str, set[str]] = {}
    for name, value in pairs:
        values.setdefault(name, set()).add(value)
    text = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return base64.b64encode(
        hmac.new(token.encode(), text.encode(), getattr(hashlib, digest)).digest()
    ).decode()


class TwilioStandIn(StandIn):
    key = "twilio"

    def values(self) -> dict[str, str]:
        return {"account_sid": ACCOUNT, "auth_token": TOKEN, "base_url": self.url}

    def new_id(self, n: int) -> str:
        return f"SM{n:032x}"

    def answer(self, call: Call) -> Reply:
        credentials = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if call.headers.get("authorization") != f"Basic {credentials}":
            return self._error(401, 20003, "Authenticate")
        if (call.method, call.path) != ("POST", PATH) or call.headers.get("content-type") != FORM:
            return self._error(404, 20404, f"The requested resource {call.path} was not found")
        form = parse_qs(call.body.decode(), keep_blank_values=True, strict_parsing=True)
        if why := self._wrong(form):
            return self._error(400, *why)
        return self._take(form)

    def _wrong(self, form: dict[str, list[str]]) -> tuple[int, str] | None:
        if surplus := set(form) - KNOWN:
            return 20001, f"Unknown parameters: {sorted(surplus)}"
        if any(len(values) > 1 for name, values in form.items() if name != "MediaUrl"):
            return 20001, "A parameter came twice"
        if not NUMBER.fullmatch(form["To"][0]):
            return 21211, "Invalid 'To' Phone Number"
        if not SENDER.fullmatch(form["From"][0]):
            return 21212, "Invalid 'From' Number"
        if not form.get("Body", [""])[0] and "MediaUrl" not in form:
            return 21619, "A text message body or media urls must be specified."
        if len(form.get("Body", [""])[0]) > 1600:
            return 21617, "The concatenated message body exceeds the 1600 character limit"
        if not 1 <= int(form["ValidityPeriod"][0]) <= 36_000:
            return 21624, "Invalid validity period value"
        if not form["StatusCallback"][0].startswith(f"{self.hook_url}?"):
            return 21609, "Invalid StatusCallback URL"
        return None

    def _take(self, form: dict[str, list[str]]) -> Reply:
        media = form.get("MediaUrl", [])
        url = urlsplit(form["StatusCallback"][0])._replace(fragment="").geturl()  # it steers Twilio's repeats
        taken = self.take(
            sender=form["From"][0],
            recipient=form["To"][0],
            text=form.get("Body", [""])[0],
            channel=Channel.MMS if media else Channel.SMS,
            reference=parse_qs(urlsplit(url).query)["ref"][0],
            hook_url=url,
        )
        answer: dict[str, Any] = {"sid": taken.vendor_id, "account_sid": ACCOUNT, "status": "queued"}
        answer |= {"num_segments": "1", "num_media": str(len(media)), "error_code": None}
        return Reply(201, answer)

    def _error(self, status: int, code: int, message: str) -> Reply:
        body = {"code": code, "message": message, "status": status}
        return self.refuse(status, body, f"{status} {code} {message}")

    def reports(self, taken: Taken) -> list[HookCall]:
        return [self._report(taken, word) for word in ("sent", "delivered")]

    def _report(self, taken: Taken, word: str) -> HookCall:
        sid = taken.vendor_id
        fields = {"MessageSid": sid, "SmsSid": sid, "AccountSid": ACCOUNT, "MessageStatus": word}
        fields |= {"SmsStatus": word, "From": taken.sender, "To": taken.recipient, "ApiVersion": "2010-04-01"}
        if word == "delivered":
            fields["RawDlrDoneDate"] = "2601151000"
        return self._signed(taken.hook_url, fields)

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        sid = f"SM{'f' * 32}"
        fields = {"MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "AccountSid": ACCOUNT}
        fields |= {"From": sender, "To": recipient, "Body": text, "NumMedia": "0", "NumSegments": "1"}
        fields |= {"SmsStatus": "received", "ApiVersion": "2010-04-01", "FromCity": "", "FromZip": ""}
        return self._signed(self.hook_url, fields)

    def _signed(self, url: str, fields: dict[str, str]) -> HookCall:
        body = urlencode(fields)
        proof = signature(TOKEN, url, parse_qsl(body, keep_blank_values=True))
        headers = {"Content-Type": f"{FORM}; charset=UTF-8", "X-Twilio-Signature": proof}
        return HookCall("POST", url, headers, body.encode())
