"""Which evidence moves a message where. One pure table; rows, locks and clocks are elsewhere (ADR 5)."""

from __future__ import annotations

from dataclasses import dataclass

from messaging.rules.values import Effect
from messaging.rules.values import MessageState as S
from vendors.values import Outcome, Report, SendResult, Status

# Codes of finals that are our own making: a vendor's final that follows one of them is told to Bloomreach.
UNKNOWN_OUTCOME = "unknown_outcome"
EXPIRED_HERE = "validity_used_up"
GAVE_UP = "too_many_attempts"
BUILD_ERROR = "build_error"
CANCELLED = "cancelled"
UNCONFIRMED = "unconfirmed"
OPTED_OUT = "opted_out"  # of an attempt: the recipient wants no more, by whichever account
WORKER_LOST = "worker_lost"  # of an attempt: its lease ran out with nothing recorded
PROVED_ABSENT = "proved_absent"  # of an attempt: the vendor was asked, and never had the message
OURS = frozenset({UNKNOWN_OUTCOME, EXPIRED_HERE, GAVE_UP, BUILD_ERROR, CANCELLED, UNCONFIRMED})

_FINAL_OF_STATUS = {
    Status.DELIVERED: S.DELIVERED,
    Status.UNDELIVERED: S.UNDELIVERED,
    Status.EXPIRED: S.EXPIRED,
    Status.REJECTED: S.REJECTED,
}

# How much an attempt is known by: evidence of a lower or equal rank is stored and changes nothing.
_ATTEMPT_RANK = {None: 0, Outcome.UNKNOWN: 1, Outcome.NOT_DIALLED: 1, Outcome.TAKEN: 3}
_REFUSED_RANK = 2  # below taken: a refusal may be our own conclusion, taking is the vendor's word
_VENDOR_FINAL_RANK = 4


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a message and of the attempt that the evidence is about."""

    state: S
    error_code: str = ""
    is_last: bool = True  # the attempt is the message's newest
    outcome: Outcome | None = None  # what the attempt's call said so far; None: in flight or never recorded
    status: Status | None = None  # the best report on the attempt so far

    @property
    def rank(self) -> int:
        """How much the attempt is known by."""
        if self.status is not None and self.status.is_final:
            return _VENDOR_FINAL_RANK
        if self.status is Status.SENT:
            return max(_ATTEMPT_RANK[Outcome.TAKEN], _rank_of_outcome(self.outcome))
        return _rank_of_outcome(self.outcome)


@dataclass(frozen=True, slots=True)
class Transition:
    """What to do. `state` None leaves the message alone; `retry` asks for a due time by backoff."""

    effect: Effect
    state: S | None = None
    error_code: str = ""
    retry: bool = False
    fallback: bool = False  # send the fallback text as SMS instead
    moves: bool = False  # through another account, at once


STORED = Transition(Effect.STORED)
SUPERSEDED = Transition(Effect.SUPERSEDED)
CONTRADICTION = Transition(Effect.CONTRADICTION)


def _rank_of_outcome(outcome: Outcome | None) -> int:
    return _ATTEMPT_RANK.get(outcome, _REFUSED_RANK)


def replaces(known: Outcome | None, told: Outcome) -> bool:
    """Whether an answer is kept in the place of what is known of its attempt: never by one that says less."""
    return _rank_of_outcome(told) >= _rank_of_outcome(known)


def made_by_us(state: S, error_code: str) -> bool:
    """Whether this final was declared here, without the vendor's word for it."""
    return state.is_final and error_code in OURS


def on_answer(
    situation: Situation, result: SendResult, *, may_fall_back: bool = False, may_move: bool = False
) -> Transition:
    """A vendor's answer to a send. Evidence counts whether or not the caller still holds the lease.

    `may_move`: the fault lies with the route, and there is another one.
    """
    if result.outcome is Outcome.TAKEN:
        return _taken(situation)
    # A refusal by an attempt that a report has already confirmed says nothing new.
    if not situation.is_last or situation.rank >= _ATTEMPT_RANK[Outcome.TAKEN]:
        return SUPERSEDED
    if situation.state not in (S.SENDING, S.UNKNOWN_OUTCOME):
        return SUPERSEDED
    return _not_taken(situation, result, may_fall_back=may_fall_back, may_move=may_move)


def _taken(situation: Situation) -> Transition:
    if situation.rank >= _ATTEMPT_RANK[Outcome.TAKEN]:
        return STORED
    if situation.state in (S.SENDING, S.UNKNOWN_OUTCOME, S.RETRYING) and situation.is_last:
        return Transition(Effect.APPLIED, S.SENT)  # a retry that waits would send it twice
    if situation.state is S.FAILED and situation.error_code == UNKNOWN_OUTCOME:
        return STORED  # proof of taking, not of delivery: the final told stays until a report comes
    return SUPERSEDED


def blames_route(situation: Situation, result: SendResult) -> bool:
    """Whether a refusal lets another account try. Never once the outcome was unknown, or the recipient opted out."""
    surely_refused = result.outcome in (Outcome.PERMANENT, Outcome.CONFIGURATION) and result.code != OPTED_OUT
    return surely_refused and result.route_fault and situation.state is S.SENDING and situation.is_last


def _not_taken(
    situation: Situation, result: SendResult, *, may_fall_back: bool, may_move: bool
) -> Transition:
    if result.outcome is Outcome.UNKNOWN:
        return Transition(Effect.APPLIED, S.UNKNOWN_OUTCOME) if situation.state is S.SENDING else STORED
    if may_move and blames_route(
        situation, result
    ):  # an account that can carry the MMS comes before the fallback
        return Transition(Effect.APPLIED, S.ACCEPTED, error_code=result.code, moves=True)
    if result.mms_unsupported and may_fall_back:
        return Transition(Effect.APPLIED, S.ACCEPTED, fallback=True)
    if result.outcome is Outcome.PERMANENT:
        return Transition(Effect.APPLIED, S.FAILED, error_code=result.code or "rejected_by_vendor")
    return Transition(Effect.APPLIED, S.RETRYING, error_code=result.code, retry=True)


def on_report(situation: Situation, report: Report, *, may_fall_back: bool = False) -> Transition:
    """What a delivery report does. It may come early, late, twice or out of order: the rank decides."""
    if report.status is Status.UNKNOWN:
        return Transition(Effect.UNKNOWN_STATUS)
    if report.status is Status.SENT:
        return _taken(situation)
    if situation.rank >= _VENDOR_FINAL_RANK:
        same = situation.status is report.status
        return STORED if same else CONTRADICTION
    final = _FINAL_OF_STATUS[report.status]
    if situation.state.is_final and not made_by_us(situation.state, situation.error_code):
        return _against(situation, report, final)
    if report.status is Status.DELIVERED:
        return Transition(Effect.APPLIED, final)
    return _failure(situation, report, final, may_fall_back=may_fall_back)


def _against(situation: Situation, report: Report, final: S) -> Transition:
    """The vendor's final came from another attempt, or from the answer to this one."""
    if situation.state is final:
        return STORED
    return CONTRADICTION if report.status is Status.DELIVERED else SUPERSEDED


def _failure(situation: Situation, report: Report, final: S, *, may_fall_back: bool) -> Transition:
    if not situation.is_last or situation.state in (S.ACCEPTED, S.RETRYING):
        return SUPERSEDED  # another attempt is on its way, and it decides
    if report.mms_unsupported and may_fall_back and not situation.state.is_final:
        return Transition(Effect.APPLIED, S.ACCEPTED, fallback=True)
    return Transition(Effect.APPLIED, final, error_code=report.code or final.name.lower())
