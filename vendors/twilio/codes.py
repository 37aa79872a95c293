"""Twilio's words and codes, in ours: Error and Warning Dictionary; Messages resource, message status values."""

from __future__ import annotations

from collections.abc import Mapping

from vendors import meanings
from vendors.meanings import Meaning
from vendors.values import Status

QUEUE_FULL = "21611"  # the sender has ten hours of work waiting
# Status words, of reports and of the Messages resource.
STATUSES: Mapping[str, Status] = {
    **dict.fromkeys(("accepted", "scheduled", "queued", "sending", "sent"), Status.SENT),
    # Documented without a word on how they end.
    **dict.fromkeys(("partially_delivered", "receiving", "received"), Status.SENT),
    **dict.fromkeys(("delivered", "read"), Status.DELIVERED),
    **dict.fromkeys(("undelivered", "failed", "canceled"), Status.UNDELIVERED),
}

# Error codes of answers; a message that a Messaging Service sends fails with them in a report.
REFUSALS: Mapping[str, Meaning] = {
    code: meaning
    for meaning, codes in (
        (meanings.CREDENTIALS_REFUSED, "20003 20008 20404"),  # also a suspended account, test credentials
        # 14107: too many between two numbers in 30 s; 63018: a sender or the account is over its rate.
        (meanings.THROTTLED, f"20429 14107 63018 {QUEUE_FULL}"),
        (meanings.UNAVAILABLE, "21730"),  # maintenance
        (meanings.INVALID_RECIPIENT, "21211 21217 21604 21614"),
        (meanings.OPTED_OUT, "21610"),
        # A trial account and an unverified number; a country that the account has switched off; no way at all.
        (meanings.NO_ROUTE, "21608 21408 21612"),
        # 217..: a Messaging Service without a fitting sender, or one that does not exist.
        (
            meanings.INVALID_SENDER,
            "21212 21601 21603 21606 21607 21616 21657 21701 21702 21703 21704 21705 21709",
        ),
        # Nothing to send; our hook's address, our validity.
        (meanings.INVALID_REQUEST, "21602 21619 21609 21624 21626 21653 21658 90007"),
        (meanings.CONTENT_REFUSED, "21617 21618"),  # longer than 1,600 characters; filtered
        (meanings.MEDIA_REFUSED, "21620 21623"),  # an address; more than ten files
        (meanings.MMS_UNSUPPORTED, "21621 21622"),  # the sender, the account
    )
    for code in codes.split()
}
# No way from this sender to this recipient: of an MMS that is what Twilio says outside of the countries with MMS.
NO_WAY_FOR_MMS = "21612"
# Codes of this family are about one message, also with the HTTP status 403.
ABOUT_A_MESSAGE = "21"

# Error codes of reports (`ErrorCode`) in our words. 63…: channels such as RCS, which a Messaging Service may choose.
REPORT_CODES: Mapping[str, str] = {
    code: word
    for word, codes in (
        ("account_blocked", "30002 63020 63051"),
        ("content_refused", "30007 63005 63013 63016 63021 63026 63027 63029 63040 63041 63042"),
        ("credentials_refused", "63001"),
        ("expired", "30036"),
        # 30006: a landline, or a carrier out of reach.
        ("invalid_recipient", "30005 30006 30014 63003 63024"),
        # 30012, 30013: our validity.
        (
            "invalid_request",
            "30012 30013 30015 30016 30028 30029 30030 30031 30400 63006 63011 63028 63030 63031",
        ),
        ("invalid_sender", "63002 63007 63008 63022"),
        # 30019: too large for the carrier; the others could not be fetched, or not be shown.
        ("media_refused", "30019 63019 63025 63034 63043 63044 63045 63047"),
        ("mms_unsupported", "30011"),
        (
            "recipient_blocked",
            "30004 30450 63014 63015 63032 63033 63035 63049",
        ),  # 30450: against SMS pumping
        ("rejected_by_vendor", "30010"),  # it costs more than the account allows
        # A toll-free number whose verification was refused: 3044…
        (
            "sender_not_registered",
            "30018 30024 30032 30033 30034 30035 30440 30441 30442 30443 30444 30445 30446",
        ),
        ("sender_not_registered", "30447 30448 30449"),
        # Full queues, congestion, rates and caps.
        ("throttled", "30001 30017 30022 30023 30025 30026 30027 63017 63018 63038 63039"),
        ("unreachable", "30003 63036"),
        # 30008: no reason given; 30009: a part is missing.
        ("vendor_fault", "30008 30009 30020 30021 30410 30500 63009 63010 63012 63023 63037"),
    )
    for code in codes.split()
}
CHANNELS = "63"  # of this family each code is a refusal by a channel, also one that is new
# Where the code says more than "failed" or "undelivered".
REPORT_STATUSES: Mapping[str, Status] = {
    "30036": Status.EXPIRED,
    **dict.fromkeys(("21610", "30004", "30007", "30034", "30450"), Status.REJECTED),
}
RECEIVED = ("received", "receiving")  # words of incoming messages
CANCELED = "canceled"  # withdrawn at Twilio, by a person or another program
