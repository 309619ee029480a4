"""From what was said to what is written down of it: the judge's answer in the words of our table."""

from newsletter.bounces.models import Kind
from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Said, Stage, Verdict, Whose

_KINDS = {
    Whose.PERSON_FOR_GOOD: Kind.HARD,
    Whose.PERSON_FOR_NOW: Kind.SOFT,
    Whose.US: Kind.OURS,
    Whose.NOBODY: Kind.AUTO_REPLY,
}


def judge(said: Said) -> tuple[Kind, str]:
    """Return what a report comes to, and the row of the table that decided."""
    verdict = classify(said)
    return kind_of(verdict, said.stage), verdict.rule


def kind_of(verdict: Verdict, stage: Stage) -> Kind:
    """Return under which kind a judgement is kept."""
    if stage is Stage.COMPLAINT:
        return Kind.NOTICE if verdict.whose is Whose.NOBODY else Kind.COMPLAINT
    return _KINDS[verdict.whose]
