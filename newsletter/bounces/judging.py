"""From what was said to what is written down of it: the judge's answer in the words of our table."""

from newsletter.bounces.models import ReportKind
from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Said, Stage, Verdict, Whose

_KINDS = {
    Whose.PERSON_FOR_GOOD: ReportKind.HARD,
    Whose.PERSON_FOR_NOW: ReportKind.SOFT,
    Whose.US: ReportKind.OURS,
    Whose.NOBODY: ReportKind.AUTO_REPLY,
}


def judge(said: Said) -> tuple[ReportKind, str]:
    """Return what a report comes to, and the row of the table that decided."""
    verdict = classify(said)
    return kind_of(verdict, said.stage), verdict.rule


def kind_of(verdict: Verdict, stage: Stage) -> ReportKind:
    """Return under which kind a judgement is kept."""
    if stage is Stage.COMPLAINT:
        return ReportKind.NOTICE if verdict.whose is Whose.NOBODY else ReportKind.COMPLAINT
    return _KINDS[verdict.whose]
