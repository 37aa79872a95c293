"""Vonage's words and codes, in ours: Messages API errors; the status webhook."""

from __future__ import annotations

from collections.abc import Mapping

from vendors import meanings
from vendors.meanings import Meaning
from vendors.values import Status

# The number (generic errors: the word) after `#` in a refusal's `type`, and the `title` of a report's error.
ERRORS: Mapping[str, Meaning] = {
    code: meaning
    for meaning, codes in (
        (meanings.INVALID_REQUEST, "1010 1020 1021 1022 1040 1090 1130 1140 1150 1340"),
        (meanings.INVALID_RECIPIENT, "1170 1190 1300"),
        # On Vonage's list, not on a trial account's, carrier's block, no money on the recipient's prepaid card.
        (meanings.RECIPIENT_BLOCKED, "1050 1160 1280 1290"),
        (meanings.OPTED_OUT, "1240"),
        (meanings.INVALID_SENDER, "1120"),
        (meanings.NO_ROUTE, "1200 1250"),  # 1200: ported, and this route does not know
        (meanings.CONTENT_REFUSED, "1210 1270"),
        (meanings.MEDIA_REFUSED, "1380 1381 1382"),
        (meanings.DUPLICATE, "1320"),
        (meanings.REJECTED, "1330"),
        (meanings.THROTTLED, "1000 1241"),
        (meanings.VENDOR_FAULT, "1030 1100 1230 1331"),
        (meanings.ACCOUNT_BLOCKED, "1060 1080 unprovisioned"),
        (meanings.NO_CREDIT, "1070 low-balance"),
        (meanings.CREDENTIALS_REFUSED, "unauthorized"),
    )
    for code in codes.split()
}
# Fields named in `invalid_parameters`, where the code says no more than that one is wrong.
INVALID: Mapping[str, Meaning] = {"to": meanings.INVALID_RECIPIENT, "from": meanings.INVALID_SENDER}

# `status` of reports.
STATUSES: Mapping[str, Status] = {
    "submitted": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,  # other channels than SMS and MMS
    "undeliverable": Status.UNDELIVERED,
    "rejected": Status.REJECTED,
}
TTL_RAN_OUT = "1360"
NOT_REFUSED = ("1000", "1030", "1100", "1230", "1331")  # "rejected", but by a fault or a queue, not by a rule
# Our code for each of them in a report; the last ones only reports have: absent, busy, out of reach, a device that
# cannot show it, too late.
REPORT_CODES: Mapping[str, str] = {
    **{code: meaning.code for code, meaning in ERRORS.items()},
    **dict.fromkeys(("1180", "1220", "1260"), "unreachable"),
    "1310": "mms_unsupported",
    TTL_RAN_OUT: "expired",
}
