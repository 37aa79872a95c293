"""The table of states, row by row, and what no sequence of evidence may ever do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.rules import states
from messaging.rules.states import CONTRADICTION, STORED, SUPERSEDED, Situation, Transition
from messaging.rules.values import Effect, MessageState
from vendors.values import Outcome, Report, SendResult, Status

S = MessageState
TAKEN = SendResult(Outcome.TAKEN, vendor_id="v-1")
TEMPORARY = SendResult(Outcome.TEMPORARY, code="throttled")
PERMANENT = SendResult(Outcome.PERMANENT, code="invalid_recipient")
NAMELESS = SendResult(Outcome.PERMANENT)
CONFIGURATION = SendResult(Outcome.CONFIGURATION, code="credentials_refused")
UNKNOWN = SendResult(Outcome.UNKNOWN, code="timeout")
NOT_DIALLED = SendResult(Outcome.NOT_DIALLED, code="too_late")
NO_MMS = SendResult(Outcome.PERMANENT, code="mms_unsupported", mms_unsupported=True)

UNKNOWN_WORD = Transition(Effect.UNKNOWN_STATUS)
SENT = Transition(Effect.APPLIED, S.SENT)
UNKNOWN_OUTCOME = Transition(Effect.APPLIED, S.UNKNOWN_OUTCOME)
DELIVERED = Transition(Effect.APPLIED, S.DELIVERED)
EXPIRED = Transition(Effect.APPLIED, S.EXPIRED, error_code="expired")
FALL_BACK = Transition(Effect.APPLIED, S.ACCEPTED, fallback=True)


def said(status: Status, *, code: str = "", mms_unsupported: bool = False) -> Report:
    return Report(status, status.upper(), code=code, mms_unsupported=mms_unsupported)


def failed(code: str) -> Transition:
    return Transition(Effect.APPLIED, S.FAILED, error_code=code)


def retrying(code: str) -> Transition:
    return Transition(Effect.APPLIED, S.RETRYING, error_code=code, retry=True)


def undelivered(code: str = "undelivered") -> Transition:
    return Transition(Effect.APPLIED, S.UNDELIVERED, error_code=code)


SENDING = Situation(S.SENDING)
UNKNOWN_SO_FAR = Situation(S.UNKNOWN_OUTCOME, outcome=Outcome.UNKNOWN)
ON_ITS_WAY = Situation(S.SENT, outcome=Outcome.TAKEN)
WAITING = Situation(S.RETRYING, "throttled", outcome=Outcome.TEMPORARY)
SENT_ONCE_MORE = Situation(S.RETRYING, "sent_once_more", outcome=Outcome.UNKNOWN)
FALLEN_BACK = Situation(S.ACCEPTED, outcome=Outcome.PERMANENT)
REFUSED = Situation(S.FAILED, "invalid_recipient", outcome=Outcome.PERMANENT)
GIVEN_UP = Situation(S.FAILED, states.UNKNOWN_OUTCOME, outcome=Outcome.UNKNOWN)
OVERDUE = Situation(S.UNCONFIRMED, states.UNCONFIRMED, outcome=Outcome.TAKEN)
USED_UP = Situation(S.EXPIRED, states.EXPIRED_HERE, outcome=Outcome.TEMPORARY)
WITHDRAWN = Situation(S.CANCELLED, states.CANCELLED, outcome=None)
ARRIVED = Situation(S.DELIVERED, outcome=Outcome.TAKEN, status=Status.DELIVERED)
LOST = Situation(S.UNDELIVERED, "undelivered", outcome=Outcome.TAKEN, status=Status.UNDELIVERED)
TURNED_AWAY = Situation(S.REFUSED, "invalid_recipient", outcome=Outcome.PERMANENT)


def older(situation: Situation, outcome: Outcome | None = Outcome.UNKNOWN) -> Situation:
    """The same message, asked about an attempt before its last, on which nothing was reported."""
    return replace(situation, is_last=False, outcome=outcome, status=None)


@pytest.mark.parametrize(
    ("situation", "result", "transition"),
    [
        pytest.param(SENDING, TAKEN, SENT, id="taken"),
        pytest.param(SENDING, TEMPORARY, retrying("throttled"), id="refused for now"),
        pytest.param(SENDING, PERMANENT, failed("invalid_recipient"), id="refused for good"),
        pytest.param(SENDING, NAMELESS, failed("rejected_by_vendor"), id="refused without a code of ours"),
        pytest.param(
            SENDING, CONFIGURATION, retrying("credentials_refused"), id="credentials refused: it waits"
        ),
        pytest.param(SENDING, UNKNOWN, UNKNOWN_OUTCOME, id="time-out"),
        pytest.param(SENDING, NOT_DIALLED, retrying("too_late"), id="never dialled"),
        pytest.param(UNKNOWN_SO_FAR, TAKEN, SENT, id="taken after an unknown outcome"),
        pytest.param(
            UNKNOWN_SO_FAR, TEMPORARY, retrying("throttled"), id="refused for now after an unknown outcome"
        ),
        pytest.param(
            UNKNOWN_SO_FAR,
            PERMANENT,
            failed("invalid_recipient"),
            id="refused for good after an unknown outcome",
        ),
        pytest.param(
            UNKNOWN_SO_FAR, NOT_DIALLED, retrying("too_late"), id="undialled after it was called lost"
        ),
        pytest.param(UNKNOWN_SO_FAR, UNKNOWN, STORED, id="unknown twice"),
        pytest.param(ON_ITS_WAY, TAKEN, STORED, id="taken twice"),
        pytest.param(ON_ITS_WAY, PERMANENT, SUPERSEDED, id="refusal after taken"),
        pytest.param(ON_ITS_WAY, TEMPORARY, SUPERSEDED, id="refusal for now after taken"),
        pytest.param(ON_ITS_WAY, UNKNOWN, SUPERSEDED, id="unknown after taken"),
        pytest.param(
            Situation(S.SENT, status=Status.SENT),
            TAKEN,
            STORED,
            id="the report came before the answer: taken",
        ),
        pytest.param(
            Situation(S.SENT, status=Status.SENT),
            UNKNOWN,
            SUPERSEDED,
            id="the report came before the time-out",
        ),
        pytest.param(
            Situation(S.SENT, status=Status.SENT),
            PERMANENT,
            SUPERSEDED,
            id="the report came before a refusal",
        ),
        pytest.param(
            Situation(S.DELIVERED, status=Status.DELIVERED), TAKEN, STORED, id="delivered before the answer"
        ),
        pytest.param(
            Situation(S.DELIVERED, status=Status.DELIVERED),
            UNKNOWN,
            SUPERSEDED,
            id="delivered, then a time-out",
        ),
        pytest.param(WAITING, TAKEN, SENT, id="taken cancels the waiting retry"),
        pytest.param(SENT_ONCE_MORE, TAKEN, SENT, id="taken cancels the second sending"),
        pytest.param(SENT_ONCE_MORE, PERMANENT, SUPERSEDED, id="a refusal while the second sending waits"),
        pytest.param(WAITING, UNKNOWN, SUPERSEDED, id="unknown while a retry waits"),
        pytest.param(FALLEN_BACK, TAKEN, SUPERSEDED, id="taken while the fallback waits"),
        pytest.param(older(SENDING), TAKEN, SUPERSEDED, id="older attempt: taken"),
        pytest.param(older(SENDING), PERMANENT, SUPERSEDED, id="older attempt: refused"),
        pytest.param(older(SENDING), UNKNOWN, SUPERSEDED, id="older attempt: unknown"),
        pytest.param(older(WAITING), TAKEN, SUPERSEDED, id="older attempt: taken while a retry waits"),
        pytest.param(GIVEN_UP, TAKEN, STORED, id="taken after giving up: no delivery yet"),
        pytest.param(GIVEN_UP, PERMANENT, SUPERSEDED, id="refused after giving up"),
        pytest.param(USED_UP, TAKEN, SUPERSEDED, id="taken after its validity"),
        pytest.param(OVERDUE, TAKEN, STORED, id="taken after the deadline"),
        pytest.param(OVERDUE, PERMANENT, SUPERSEDED, id="refused after the deadline"),
        pytest.param(REFUSED, TAKEN, SUPERSEDED, id="taken after a refusal for good"),
        pytest.param(REFUSED, PERMANENT, SUPERSEDED, id="refused twice"),
        pytest.param(WITHDRAWN, TAKEN, SUPERSEDED, id="taken after it was cancelled"),
        pytest.param(TURNED_AWAY, PERMANENT, SUPERSEDED, id="test message refused"),
        pytest.param(ARRIVED, PERMANENT, SUPERSEDED, id="refused after delivered"),
        pytest.param(LOST, TAKEN, STORED, id="taken after undelivered"),
    ],
)
def test_answers(situation: Situation, result: SendResult, transition: Transition) -> None:
    assert states.on_answer(situation, result) == transition


@pytest.mark.parametrize(
    ("situation", "report", "transition"),
    [
        pytest.param(ON_ITS_WAY, said(Status.DELIVERED), DELIVERED, id="delivered"),
        pytest.param(ON_ITS_WAY, said(Status.UNDELIVERED), undelivered(), id="undelivered"),
        pytest.param(ON_ITS_WAY, said(Status.UNDELIVERED, code="absent"), undelivered("absent"), id="with a code"),
        pytest.param(ON_ITS_WAY, said(Status.EXPIRED), EXPIRED, id="expired at the vendor"),
        pytest.param(
            ON_ITS_WAY,
            said(Status.REJECTED),
            Transition(Effect.APPLIED, S.REJECTED, error_code="rejected"),
            id="rejected after taken",
        ),
        pytest.param(ON_ITS_WAY, said(Status.SENT), STORED, id="sent after taken"),
        pytest.param(ON_ITS_WAY, said(Status.UNKNOWN), UNKNOWN_WORD, id="a word that nobody knows"),
        pytest.param(ARRIVED, said(Status.UNKNOWN), UNKNOWN_WORD, id="a word that nobody knows, after the end"),
        pytest.param(SENDING, said(Status.SENT), SENT, id="early: sent before the answer"),
        pytest.param(SENDING, said(Status.DELIVERED), DELIVERED, id="early: delivered before the answer"),
        pytest.param(SENDING, said(Status.UNDELIVERED), undelivered(), id="early: failed before the answer"),
        pytest.param(UNKNOWN_SO_FAR, said(Status.SENT), SENT, id="unknown outcome: sent"),
        pytest.param(UNKNOWN_SO_FAR, said(Status.DELIVERED), DELIVERED, id="unknown outcome: delivered"),
        pytest.param(UNKNOWN_SO_FAR, said(Status.UNDELIVERED), undelivered(), id="unknown outcome: failed"),
        pytest.param(ARRIVED, said(Status.DELIVERED), STORED, id="twice: delivered"),
        pytest.param(LOST, said(Status.UNDELIVERED), STORED, id="twice: undelivered"),
        pytest.param(ARRIVED, said(Status.SENT), STORED, id="out of order: sent after delivered"),
        pytest.param(LOST, said(Status.SENT), STORED, id="out of order: sent after undelivered"),
        pytest.param(ARRIVED, said(Status.UNDELIVERED), CONTRADICTION, id="contradiction: undelivered after delivered"),
        pytest.param(LOST, said(Status.DELIVERED), CONTRADICTION, id="contradiction: delivered after undelivered"),
        pytest.param(LOST, said(Status.EXPIRED), CONTRADICTION, id="contradiction: another failure"),
        pytest.param(REFUSED, said(Status.DELIVERED), CONTRADICTION, id="contradiction: delivered after the refusal"),
        pytest.param(REFUSED, said(Status.UNDELIVERED), SUPERSEDED, id="failed after the refusal"),
        pytest.param(TURNED_AWAY, said(Status.DELIVERED), CONTRADICTION, id="contradiction: refused test delivered"),
        pytest.param(WAITING, said(Status.DELIVERED), DELIVERED, id="delivered cancels the waiting retry"),
        pytest.param(WAITING, said(Status.SENT), SENT, id="sent cancels the waiting retry"),
        pytest.param(WAITING, said(Status.UNDELIVERED), SUPERSEDED, id="a failure while a retry waits"),
        pytest.param(SENT_ONCE_MORE, said(Status.SENT), SENT, id="sent cancels the second sending"),
        pytest.param(FALLEN_BACK, said(Status.DELIVERED), DELIVERED, id="delivered cancels the fallback"),
        pytest.param(FALLEN_BACK, said(Status.SENT), SUPERSEDED, id="sent leaves the fallback"),
        pytest.param(FALLEN_BACK, said(Status.REJECTED), SUPERSEDED, id="a failure while the fallback waits"),
        pytest.param(older(SENDING), said(Status.DELIVERED), DELIVERED, id="older attempt: delivered, retry in flight"),
        pytest.param(older(ON_ITS_WAY), said(Status.DELIVERED), DELIVERED, id="older attempt: delivered, retry taken"),
        pytest.param(older(WAITING), said(Status.DELIVERED), DELIVERED, id="older attempt: delivered, retry waits"),
        pytest.param(older(SENDING), said(Status.UNDELIVERED), SUPERSEDED, id="older attempt: failed, retry in flight"),
        pytest.param(older(ON_ITS_WAY), said(Status.EXPIRED), SUPERSEDED, id="older attempt: failed, retry taken"),
        pytest.param(older(ON_ITS_WAY), said(Status.SENT), SUPERSEDED, id="older attempt: sent"),
        pytest.param(older(ARRIVED), said(Status.UNDELIVERED), SUPERSEDED, id="older attempt: failed after delivered"),
        pytest.param(older(ARRIVED), said(Status.DELIVERED), STORED, id="older attempt: delivered too"),
        pytest.param(older(LOST), said(Status.DELIVERED), CONTRADICTION, id="older attempt: delivered after the end"),
        pytest.param(
            replace(ARRIVED, outcome=Outcome.UNKNOWN, status=None),
            said(Status.REJECTED),
            SUPERSEDED,
            id="the retry failed after the first attempt was delivered",
        ),
        pytest.param(older(GIVEN_UP), said(Status.UNDELIVERED), SUPERSEDED, id="older attempt: failed after giving up"),
        pytest.param(older(GIVEN_UP), said(Status.DELIVERED), DELIVERED, id="older attempt: delivered after giving up"),
        pytest.param(GIVEN_UP, said(Status.DELIVERED), DELIVERED, id="ours, then the vendor: delivered"),
        pytest.param(GIVEN_UP, said(Status.UNDELIVERED), undelivered(), id="ours, then the vendor: failed"),
        pytest.param(GIVEN_UP, said(Status.SENT), STORED, id="ours, then sent: no end of the story"),
        pytest.param(OVERDUE, said(Status.DELIVERED), DELIVERED, id="unconfirmed, then delivered"),
        pytest.param(OVERDUE, said(Status.EXPIRED), EXPIRED, id="unconfirmed, then expired"),
        pytest.param(OVERDUE, said(Status.SENT), STORED, id="unconfirmed, then sent"),
        pytest.param(USED_UP, said(Status.DELIVERED), DELIVERED, id="expired here, then delivered"),
        pytest.param(WITHDRAWN, said(Status.DELIVERED), DELIVERED, id="cancelled, then delivered"),
        pytest.param(
            Situation(S.EXPIRED, "expired", outcome=Outcome.TAKEN, status=Status.EXPIRED),
            said(Status.DELIVERED),
            CONTRADICTION,
            id="expired there, then delivered",
        ),
    ],
)  # fmt: skip
def test_reports(situation: Situation, report: Report, transition: Transition) -> None:
    assert states.on_report(situation, report) == transition


@pytest.mark.parametrize(
    ("situation", "may_fall_back", "transition"),
    [
        pytest.param(SENDING, True, FALL_BACK, id="refused at once"),
        pytest.param(UNKNOWN_SO_FAR, True, FALL_BACK, id="refused after an unknown outcome"),
        pytest.param(SENDING, False, failed("mms_unsupported"), id="no fallback text"),
        pytest.param(ON_ITS_WAY, True, SUPERSEDED, id="refused after taken"),
        pytest.param(FALLEN_BACK, True, SUPERSEDED, id="falls back once"),
    ],
)
def test_fallback_on_an_answer(situation: Situation, may_fall_back: bool, transition: Transition) -> None:
    assert states.on_answer(situation, NO_MMS, may_fall_back=may_fall_back) == transition


@pytest.mark.parametrize(
    ("situation", "may_fall_back", "transition"),
    [
        pytest.param(ON_ITS_WAY, True, FALL_BACK, id="by a report"),
        pytest.param(SENDING, True, FALL_BACK, id="by an early report"),
        pytest.param(ON_ITS_WAY, False, Transition(Effect.APPLIED, S.REJECTED, "mms_unsupported"), id="no text"),
        pytest.param(OVERDUE, True, Transition(Effect.APPLIED, S.REJECTED, "mms_unsupported"), id="after our own end"),
        pytest.param(older(ON_ITS_WAY), True, SUPERSEDED, id="about an older attempt"),
        pytest.param(FALLEN_BACK, True, SUPERSEDED, id="while the fallback waits"),
        pytest.param(ARRIVED, True, CONTRADICTION, id="after delivered"),
    ],
)  # fmt: skip
def test_fallback_on_a_report(situation: Situation, may_fall_back: bool, transition: Transition) -> None:
    report = said(Status.REJECTED, code="mms_unsupported", mms_unsupported=True)
    assert states.on_report(situation, report, may_fall_back=may_fall_back) == transition


@pytest.mark.parametrize(
    ("state", "code", "ours"),
    [
        *[pytest.param(S.FAILED, code, True, id=code) for code in sorted(states.OURS)],
        pytest.param(S.FAILED, "invalid_recipient", False, id="the vendor's code"),
        pytest.param(S.EXPIRED, "expired", False, id="expired at the vendor"),
        pytest.param(S.DELIVERED, "", False, id="delivered"),
        pytest.param(S.RETRYING, states.UNKNOWN_OUTCOME, False, id="not final"),
    ],
)
def test_which_finals_are_ours(state: MessageState, code: str, ours: bool) -> None:
    assert states.made_by_us(state, code) is ours


ORDER = [None, Outcome.UNKNOWN, Outcome.TEMPORARY, Outcome.TAKEN]


@pytest.mark.parametrize("known", ORDER)
@pytest.mark.parametrize("told", ORDER[1:])
def test_an_answer_that_says_less_replaces_nothing(known: Outcome | None, told: Outcome) -> None:
    assert states.replaces(known, told) is (ORDER.index(told) >= ORDER.index(known))


# Any sequence of evidence, over a message that is claimed, handed back and ruled on as the services do it.


@dataclass
class Try:
    outcome: Outcome | None = None
    status: Status | None = None


@dataclass
class Story:
    state: MessageState = S.ACCEPTED
    code: str = ""
    tries: list[Try] = field(default_factory=list)

    def situation(self, n: int) -> Situation:
        one = self.tries[n]
        return Situation(self.state, self.code, n == len(self.tries) - 1, one.outcome, one.status)

    def follow(self, transition: Transition) -> None:
        if transition.state is not None:
            self.state, self.code = transition.state, transition.error_code

    def answer(self, n: int, result: SendResult) -> None:
        self.follow(states.on_answer(self.situation(n), result, may_fall_back=n == 0))
        if states.replaces(self.tries[n].outcome, result.outcome):
            self.tries[n].outcome = result.outcome

    def report(self, n: int, report: Report) -> Transition:
        transition = states.on_report(self.situation(n), report, may_fall_back=n == 0)
        self.follow(transition)
        known = self.tries[n].status
        if transition.effect not in (Effect.CONTRADICTION, Effect.UNKNOWN_STATUS) and (
            known is None or not known.is_final
        ):
            self.tries[n].status = report.status
        return transition

    def rule(self, state: MessageState, code: str) -> None:
        if not self.state.is_final:
            self.state, self.code = state, code

    def claim(self) -> None:
        if self.state in (S.ACCEPTED, S.RETRYING):
            self.state = S.SENDING
            self.tries.append(Try())


NO_MMS_REPORT = said(Status.REJECTED, code="mms_unsupported", mms_unsupported=True)
RESULTS = (TAKEN, TEMPORARY, PERMANENT, CONFIGURATION, UNKNOWN, NOT_DIALLED, NO_MMS)
REPORTS = (*(said(status) for status in Status), NO_MMS_REPORT)
DECISIONS = (
    (S.UNCONFIRMED, states.UNCONFIRMED),
    (S.FAILED, states.UNKNOWN_OUTCOME),
    (S.EXPIRED, states.EXPIRED_HERE),
    (S.CANCELLED, states.CANCELLED),
    (S.RETRYING, "sent_once_more"),
)
steps = st.one_of(
    st.just(("claim",)),
    st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from(RESULTS)),
    st.tuples(st.just("report"), st.integers(0, 3), st.sampled_from(REPORTS)),
    st.tuples(st.just("rule"), st.sampled_from(DECISIONS)),
)


def take(story: Story, step: tuple) -> None:  # type: ignore[type-arg]
    match step:
        case ("claim",):
            story.claim()
        case ("rule", (state, code)):
            story.rule(state, code)
        case ("answer", n, result) if story.tries:
            story.answer(n % len(story.tries), result)
        case ("report", n, report) if story.tries:
            story.report(n % len(story.tries), report)


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=30))
def test_no_sequence_leaves_an_end_or_forgets(sequence: list) -> None:  # type: ignore[type-arg]
    story = Story()
    story.claim()
    for step in sequence:
        state, code = story.state, story.code
        ranks = [story.situation(n).rank for n in range(len(story.tries))]
        take(story, step)
        after = [story.situation(n).rank for n in range(len(story.tries))]
        assert all(new >= old for old, new in zip(ranks, after, strict=False)), "a rank fell"
        if state.is_final:
            assert story.state.is_final, "an end was left"
            if not states.made_by_us(state, code):
                assert (story.state, story.code) == (state, code), "a vendor's end was left"
            elif (story.state, story.code) != (state, code):
                assert not states.made_by_us(story.state, story.code), "one end of ours followed another"


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=20), st.integers(0, 3))
def test_delivered_ends_every_story_but_a_vendors_own_end(sequence: list, n: int) -> None:  # type: ignore[type-arg]
    story = Story()
    story.claim()
    for step in sequence:
        take(story, step)
    n %= len(story.tries)
    ended_by_vendor = story.state.is_final and not states.made_by_us(story.state, story.code)
    said_before = story.situation(n).rank == 4
    transition = story.report(n, said(Status.DELIVERED))
    if not ended_by_vendor and not said_before:
        assert (transition, story.state) == (DELIVERED, S.DELIVERED)
    else:
        assert transition in (STORED, CONTRADICTION)


def test_an_account_that_can_carry_an_mms_comes_before_the_fallback() -> None:
    unfit = SendResult(Outcome.PERMANENT, code="mms_unsupported", mms_unsupported=True, route_fault=True)
    moved = states.on_answer(SENDING, unfit, may_fall_back=True, may_move=True)
    assert moved == Transition(Effect.APPLIED, S.ACCEPTED, error_code="mms_unsupported", moves=True)
    assert states.on_answer(SENDING, unfit, may_fall_back=True) == FALL_BACK
