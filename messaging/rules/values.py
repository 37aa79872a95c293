"""The words for where a message, an event or a queue stands. The numbers are stored: they never change."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class MessageState(IntEnum):
    """Where one send request stands. Ten and above are final."""

    ACCEPTED = 0  # committed, nobody has dialled for it, or handed back to another way of sending
    SENDING = 1  # claimed: a call may be in flight
    RETRYING = 2  # surely not taken, due again later
    UNKNOWN_OUTCOME = 3  # a call may or may not have been taken
    SENT = 4  # the vendor took it, no final report yet
    DELIVERED = 10  # the vendor says that the handset has it
    UNDELIVERED = 11  # the vendor tried and gave up
    EXPIRED = 12  # validity used up, at the vendor or here
    REJECTED = 13  # the vendor or carrier refused it after taking it
    FAILED = 14  # refused by the vendor, or given up by us: error_code says which
    UNCONFIRMED = 15  # taken, but no report by the account's deadline
    CANCELLED = 16  # withdrawn by an operator before it was sent
    REFUSED = 17  # a test message that the vendor refused while the caller waited: no event is owed

    @property
    def is_final(self) -> bool:
        return self >= MessageState.DELIVERED


class UnknownPolicy(StrEnum):
    """What becomes of an unknown outcome that nothing else resolves (ADR 6)."""

    AT_MOST_ONCE = "at_most_once"  # wait for a report until the deadline, then failed/unknown_outcome
    AT_LEAST_ONCE = "at_least_once"  # send once more


class QueueKind(IntEnum):
    """Which way the work of a queue flows."""

    DISPATCH = 0  # to a vendor, one queue per provider account
    CALLBACKS = 1  # to Bloomreach, one queue per tenant


class DestinationKind(IntEnum):
    """What is posted to an address: the two do not share a fate, even at one address."""

    CALLBACK = 0  # what became of a message: the URL comes with the request
    INBOUND = 1  # messages from handsets: the URL is the tenant's


class ExchangeKind(StrEnum):
    """Which exchange it was."""

    HOOK = "hook"  # a vendor called us
    CALL = "call"  # we handed a message over
    LOOKUP = "lookup"  # we asked a vendor about an attempt
    POST = "post"  # we posted events


class EventKind(IntEnum):
    """What we owe Bloomreach. The number is the order within a message."""

    SENT = 0
    FINAL = 1
    CORRECTION = 2
    INBOUND = 3


class EventState(IntEnum):
    """Where one event stands."""

    DUE = 0
    LEASED = 1  # in a POST that is in flight
    ACKED = 2
    UNDELIVERABLE = 3  # given up: kept, shown, replayable


class Effect(StrEnum):
    """What a delivery report did."""

    APPLIED = "applied"
    STORED = (
        "stored"  # nothing new: the same status again, or a lower rank (an exact repeat is no row at all)
    )
    SUPERSEDED = "superseded"  # about an attempt that no longer decides
    CONTRADICTION = "contradiction"  # a vendor's final against a vendor's final
    UNMATCHED = "unmatched"  # no attempt yet: tried again with backoff
    ORPHAN = "orphan"  # no attempt within three days: kept and shown
    UNKNOWN_STATUS = "unknown_status"  # contract drift: a word that the adapter does not know
