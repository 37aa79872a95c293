"""What vendors' error codes mean, in one vocabulary: adapters map their codes to these and to nothing else.

The codes are what Bloomreach hears as `error.code` and what operators filter by (docs/contract.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from outbound import retry_after
from outbound.values import HttpResponse
from vendors import reading
from vendors.values import Outcome, SendResult


@dataclass(frozen=True, slots=True)
class Meaning:
    """One way for a message to be refused. `route_fault`: another account may well take it."""

    outcome: Outcome
    code: str
    route_fault: bool = False
    mms_unsupported: bool = False


# About the recipient or the message: final, on every route.
OPTED_OUT = Meaning(Outcome.PERMANENT, "opted_out")  # never retried, never sent another way
INVALID_RECIPIENT = Meaning(Outcome.PERMANENT, "invalid_recipient")
RECIPIENT_BLOCKED = Meaning(Outcome.PERMANENT, "recipient_blocked")
CONTENT_REFUSED = Meaning(Outcome.PERMANENT, "content_refused")
MEDIA_REFUSED = Meaning(Outcome.PERMANENT, "media_refused")
INVALID_REQUEST = Meaning(Outcome.PERMANENT, "invalid_request")
REJECTED = Meaning(Outcome.PERMANENT, "rejected_by_vendor")
MMS_UNSUPPORTED = Meaning(Outcome.PERMANENT, "mms_unsupported", mms_unsupported=True)
DUPLICATE = Meaning(Outcome.PERMANENT, "duplicate")

# About this route: final here, and another account may take it.
INVALID_SENDER = Meaning(Outcome.PERMANENT, "invalid_sender", route_fault=True)
SENDER_NOT_REGISTERED = Meaning(Outcome.PERMANENT, "sender_not_registered", route_fault=True)
NO_ROUTE = Meaning(Outcome.PERMANENT, "no_route", route_fault=True)  # no way to that country or network

# About the account: its queue is paused until a person has acted.
CREDENTIALS_REFUSED = Meaning(Outcome.CONFIGURATION, "credentials_refused", route_fault=True)
NO_CREDIT = Meaning(Outcome.CONFIGURATION, "no_credit", route_fault=True)
ACCOUNT_BLOCKED = Meaning(Outcome.CONFIGURATION, "account_blocked", route_fault=True)

# Surely not taken, and worth another try.
THROTTLED = Meaning(Outcome.TEMPORARY, "throttled")
UNAVAILABLE = Meaning(Outcome.TEMPORARY, "vendor_unavailable")
CALL_REFUSED = Meaning(
    Outcome.TEMPORARY, "call_refused"
)  # together with others, for what is wrong with one of them

# It may have been taken.
VENDOR_FAULT = Meaning(Outcome.UNKNOWN, "vendor_fault")
UNREADABLE = Meaning(Outcome.UNKNOWN, "unreadable_answer")


def by_status(status: int) -> Meaning:
    """What an answer without a known code means: 4xx are refusals, the rest may have been taken."""
    if status in (401, 403):
        return CREDENTIALS_REFUSED
    if status == 402:
        return NO_CREDIT
    if status == 429:
        return THROTTLED
    if status == 408:
        return VENDOR_FAULT  # the vendor gave up waiting for itself: nobody knows
    return REJECTED if 400 <= status < 500 else VENDOR_FAULT


def refused(meaning: Meaning, response: HttpResponse, *, vendor_code: str = "", text: str = "") -> SendResult:
    """The result of a refusal; it honours Retry-After and names the HTTP status where the vendor gives no code."""
    return SendResult(
        meaning.outcome,
        code=meaning.code,
        vendor_code=vendor_code or str(response.status),
        text=text,
        retry_after=retry_after.seconds_of(reading.header(response, "Retry-After"), time.time()),
        mms_unsupported=meaning.mms_unsupported,
        route_fault=meaning.route_fault,
    )


def unreadable(response: HttpResponse) -> SendResult:
    """A yes that names no message: it may have been taken."""
    text = f"HTTP {response.status}: the answer names no message"
    return SendResult(UNREADABLE.outcome, code=UNREADABLE.code, text=text)
