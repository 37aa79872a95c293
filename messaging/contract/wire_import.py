"""A wire profile out of Bloomreach's own descriptions of its send, verify and callback pages (contract 8). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from messaging.contract import openapi, wire, wire_profile
from messaging.contract.fields import plain
from messaging.contract.openapi import BodyShape, Operation
from messaging.contract.wire import INBOUND_KEYS, MMS_KEYS, OUTBOUND_KEYS, SMS_KEYS
from messaging.contract.wire_profile import ProfileError, WireProfile

NAME_SHOWN = 80  # characters of a name of theirs

# Names that others give to the same things. A match by these is marked as guessed.
_REQUEST_GUESSES = {
    "from": "originator source senderid sendername fromnumber sendernumber",
    "to": "msisdn phone phonenumber destination receiver tonumber mobile recipientnumber",
    "text": "messagetext messagebody messagecontent smstext smscontent textbody",
    "request_id": "messagerequestid idempotencykey externalid correlationid referenceid clientreference",
    "custom_data": "customparameters callbackdata clientdata payload trackingdata",
    "callback_url": "callback callbackuri callbackaddress webhookurl statuscallback statuscallbackurl reporturl",
    "metadata": "meta attributes tags",
    "subject": "title mmssubject",
    "fallback_text": "fallbackmessagetext fallbacksms smsfallback fallbacksmstext fallbackbody",
    "media": "mediaurls mediaurl attachments files mediafiles",
}
_EVENT_GUESSES = {
    "event_id": "id eventuuid",
    "channel": "channeltype",
    "type": "eventtype kind",
    "status": "state deliverystatus messagestatus",
    "timestamp": "time ts date eventtime eventtimestamp occurredat sentat receivedat createdat",
    "from": "sender originator source senderid",
    "to": "recipient msisdn phone phonenumber destination receiver",
    "text": "message content body messagetext messagebody",
    "media": "mediaurls mediaurl attachments files",
    "message_id": "providermessageid vendormessageid externalid",
    "error": "failure reason errordetails errormessage statusreason",
    "segments": "parts segmentcount messagecount smscount",
}
# What we send or read; everything else is a text.
_TYPES = {
    "timestamp": {"number", "integer"},
    "segments": {"integer", "number"},
    "error": {"object"},
    "correction": {"boolean"},
    "metadata": {"object"},
    "media": {"object", "array"},
}
_STATUS_WORDS: dict[str, Sequence[str]] = {
    "sent": ("sent", "submitted", "accepted", "enroute"),
    "delivered": ("delivered", "success", "succeeded"),
    "failed": ("failed", "undelivered", "notdelivered", "failure", "error", "rejected", "deliveryfailed"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """What one request of the description says. `known` and `guessed` are their key -> ours."""

    role: str  # sms_send, mms_send, verify, outbound, inbound or other
    title: str
    known: Mapping[str, str] = field(default_factory=dict)
    guessed: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()  # theirs that mean nothing to us; `*` after a name: required
    missing: tuple[str, ...] = ()  # ours that it does not mention


@dataclass(frozen=True, slots=True)
class Findings:
    """The pages, the profile that they make, and what a person should know besides."""

    pages: tuple[Page, ...]
    profile: WireProfile
    notes: tuple[str, ...]


def findings(texts: Iterable[str], *, base: WireProfile = wire_profile.DEFAULT) -> Findings:
    """What the descriptions in these files say; the rest is as in `base`. Raises openapi.DescriptionError."""
    pages: list[Page] = []
    draft = _Draft(base)
    for text in texts:
        for root in openapi.documents(text):
            document = openapi.Document(root)
            pages += [_page(operation, draft) for operation in document.operations()]
            draft.notes += [f"not followed, it leads out of the file: {name}" for name in document.unfollowed]
    if not pages:
        draft.notes.append("the description holds no request at all")
    return Findings(tuple(pages), draft.profile(), tuple(dict.fromkeys(draft.notes)))


class _Draft:
    """The parts of a profile as the pages give them, one after the other."""

    def __init__(self, base: WireProfile) -> None:
        self.base = base
        self.parts: dict[str, Any] = {}
        self.notes: list[str] = []
        self.spelled: Counter[str] = Counter()  # keys of events
        self.spelled_in: Counter[str] = Counter()  # keys of requests
        self.asked: dict[str, str] = {}  # our field -> their key of it
        self.told: dict[str, str] = {}  # our event key -> theirs

    def profile(self) -> WireProfile:
        """The whole. A part that cannot be is left as it was, with a note."""
        # Without a page of events they are taken to be spelled like requests.
        spelling = _spelling(self.spelled or self.spelled_in, self.base.spelling)
        spelling_in = _spelling(self.spelled_in, self.base.spelling_in)
        parts = self.base.as_dict() | {"spelling": spelling, "spelling_in": spelling_in} | self.parts
        for part, names, how in (
            ("keys_out", self.told, spelling),
            ("keys_in", self.asked, spelling_in),
        ):
            spell = wire_profile.camel if how == "camel" else str
            odd = {ours: theirs for ours, theirs in names.items() if spell(ours) != theirs}
            kept = {ours: name for ours, name in parts.get(part, {}).items() if ours not in names}
            parts[part] = kept | odd
        try:
            return wire_profile.parse(parts)
        except ProfileError as error:
            self.notes += [f"not taken over: {name} {words}" for name, words in error.problems.items()]
            old = self.base.as_dict()
            usable = {name: value for name, value in parts.items() if name not in error.problems}
            try:
                return wire_profile.parse(
                    {**usable, **{name: old[name] for name in error.problems if name in old}}
                )
            except ProfileError as clash:
                self.notes += [f"not taken over: {name} {words}" for name, words in clash.problems.items()]
                return self.base


def _spelling(counted: Counter[str], otherwise: str) -> str:
    """How the most keys of several words are spelled."""
    if counted["camel"] == counted["snake"]:
        return otherwise
    return "camel" if counted["camel"] > counted["snake"] else "snake"


def _count(counted: Counter[str], ours: str, theirs: str) -> None:
    if wire_profile.camel(ours) != ours:
        counted["camel"] += theirs == wire_profile.camel(ours)
        counted["snake"] += theirs == ours


def _page(operation: Operation, draft: _Draft) -> Page:
    role = _role(operation)
    if role == "verify":
        _note_verify(operation, draft)
        return Page(role, str(operation))
    if role == "other" or operation.body is None:
        return Page("other", str(operation))
    if role in ("outbound", "inbound"):
        return _event_page(role, operation, operation.body, draft)
    return _send_page(role, operation, operation.body, draft)


def _role(operation: Operation) -> str:
    """Whose page it is: by its keys first, since names of pages vary more."""
    names = {plain(name) for name in operation.body.properties} if operation.body else set()
    fields = {_of_request(name)[0] for name in names}
    if "verif" in operation.words and (operation.method == "get" or not names):
        return "verify"
    is_inbound = any(word in operation.words for word in ("inbound", "incoming", "reply", "replies"))
    if not names:
        # An array of objects whose keys are not told: at least its envelope is.
        told = operation.body is not None and operation.body.envelope is not None
        is_report = any(word in operation.words for word in ("callback", "delivery", "report"))
        return "inbound" if told and is_inbound else "outbound" if told and is_report else "other"
    if "callback_url" in fields:
        return "mms_send" if "media" in fields else "sms_send"
    if names & {"status", "state", "deliverystatus", "messagestatus"}:
        return "outbound"
    if is_inbound:
        return "inbound"
    if "to" in fields and fields & {"text", "media"}:
        return "mms_send" if "media" in fields else "sms_send"
    return "other"


def _send_page(role: str, operation: Operation, body: BodyShape, draft: _Draft) -> Page:
    keys = MMS_KEYS if role == "mms_send" else SMS_KEYS
    page = _matched(role, operation, body, tuple(keys), _of_request)
    for theirs, ours in (*page.known.items(), *page.guessed.items()):
        draft.asked.setdefault(ours, theirs)
        _count(draft.spelled_in, ours, theirs)
    _note_types(page, body, draft)
    _note_path(operation, role, draft)
    _note_form(operation, draft)
    if operation.success_types and not any("json" in kind for kind in operation.success_types):
        draft.parts["success"] = "text"
    return page


def _event_page(role: str, operation: Operation, body: BodyShape, draft: _Draft) -> Page:
    ours_all = OUTBOUND_KEYS if role == "outbound" else INBOUND_KEYS
    page = _matched(role, operation, body, ours_all, _of_event)
    for theirs, ours in (*page.known.items(), *page.guessed.items()):
        if draft.told.setdefault(ours, theirs) != theirs:
            draft.notes.append(
                f"{operation}: {_shown(theirs)} for {ours}; another page writes {_shown(draft.told[ours])}"
            )
        _count(draft.spelled, ours, theirs)
    if body.envelope is None:
        draft.notes.append(f"{operation}: asks for one object; we send an array of them, which cannot differ")
    else:
        draft.parts[role] = body.envelope
    if operation.authorization:
        draft.parts["bearer"] = operation.authorization == "bearer"
    if body.is_closed:
        left_out = [key for key in page.missing if key not in wire_profile.NEVER_LEFT_OUT]
        draft.parts["omitted"] = list(dict.fromkeys([*draft.parts.get("omitted", []), *left_out]))
        draft.notes.append(f"{operation}: allows no further keys, so ours that it lacks are left out")
    _note_types(page, body, draft)
    _note_values(page, body, draft)
    _note_form(operation, draft)
    return page


def _matched(
    role: str,
    operation: Operation,
    body: BodyShape,
    ours_all: Sequence[str],
    meaning: Callable[[str], tuple[str, bool]],
) -> Page:
    known: dict[str, str] = {}
    guessed: dict[str, str] = {}
    unknown = []
    for sure in (True, False):  # what is certain before what is guessed: each of ours is given once
        for name in body.properties:
            ours, is_sure = meaning(name)
            if is_sure is sure and ours in ours_all and ours not in (*known.values(), *guessed.values()):
                (known if sure else guessed)[name] = ours
    for name, said in body.properties.items():
        if name not in known and name not in guessed:
            unknown.append(_shown(name) + ("*" if said.required else ""))
    given = {*known.values(), *guessed.values()}
    missing = tuple(ours for ours in ours_all if ours not in given)
    return Page(role, str(operation), known, guessed, tuple(unknown), missing)


def _note_types(page: Page, body: BodyShape, draft: _Draft) -> None:
    for name, ours in {**page.known, **page.guessed}.items():
        theirs, own = body.properties[name].types, _TYPES.get(ours, {"string"})
        if theirs and not theirs & own:
            said = "/".join(sorted(map(_shown, theirs)))
            draft.notes.append(
                f"{page.title}: {_shown(name)} is {said} there; ours is {'/'.join(sorted(own))}"
            )


def _note_values(page: Page, body: BodyShape, draft: _Draft) -> None:
    """Words for statuses, and constants that the description wants to see."""
    for name, said in body.properties.items():
        ours = page.known.get(name) or page.guessed.get(name)
        values = [value for value in said.values if isinstance(value, str)]
        if ours == "status" and page.role == "outbound" and values:
            _note_statuses(values, draft)
        elif ours is None and len(said.values) == 1 and not isinstance(said.values[0], list | dict):
            draft.parts["extra"] = {**draft.parts.get("extra", {}), name: said.values[0]}


def _note_statuses(values: Sequence[str], draft: _Draft) -> None:
    words: dict[str, str] = {}
    for ours, theirs in _STATUS_WORDS.items():
        fits = {plain(value).replace(" ", ""): value for value in reversed(values)}
        found = next((fits[word] for word in theirs if word in fits), None)
        if found is None:
            draft.notes.append(f"no word for {ours} among the statuses {', '.join(map(_shown, values[:20]))}")
        elif found != ours:
            words[ours] = found
    draft.parts["statuses"] = words


def _note_verify(operation: Operation, draft: _Draft) -> None:
    channel = "mms" if "mms" in operation.words and "sms" not in operation.words else "sms"
    _note_path(operation, f"{channel}_verify", draft)
    if operation.success_types and not any("json" in kind for kind in operation.success_types):
        draft.parts["success"] = "text"


def _note_path(operation: Operation, action: str, draft: _Draft) -> None:
    path = operation.path.rstrip("/")
    if wire_profile.is_served(path):
        return
    if not wire_profile.may_name(path):
        draft.notes.append(f"{_shown(str(operation))}: this address cannot be given to a tenant")
        return
    draft.parts["paths"] = {**draft.parts.get("paths", dict(draft.base.paths)), path: action}


def _note_form(operation: Operation, draft: _Draft) -> None:
    if operation.media_types and not any("json" in kind for kind in operation.media_types):
        kinds = ", ".join(map(_shown, operation.media_types))
        draft.notes.append(f"{operation}: asks for {kinds}; we speak JSON only")


def _of_request(name: str) -> tuple[str, bool]:
    """Our field, and whether that is certain."""
    if ours := wire.field_of(name):
        return ours, True
    return _GUESSED_FIELDS.get(plain(name), ""), False


def _of_event(name: str) -> tuple[str, bool]:
    if ours := _EVENT_FIELDS.get(plain(name)):
        return ours, True
    return _GUESSED_KEYS.get(plain(name), ""), False


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)[:NAME_SHOWN]


_EVENT_FIELDS = {plain(key): key for key in (*OUTBOUND_KEYS, *INBOUND_KEYS)}
_GUESSED_FIELDS = {word: ours for ours, words in _REQUEST_GUESSES.items() for word in words.split()}
_GUESSED_KEYS = {word: ours for ours, words in _EVENT_GUESSES.items() for word in words.split()}
