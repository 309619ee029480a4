"""The judge against the corpus: ``python -m tests.bounces.matrix`` prints who was taken for what."""

import re
from collections import Counter
from pathlib import Path

from newsletter.bounces.parser import parse_message
from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Said, Stage

FOLDER = Path(__file__).parent / "corpus"
_CODE = re.compile(r"([245]\d\d)[ -]")
_WHOSE = {"hard": "person_for_good", "soft": "person_for_now", "ours": "us", "complaint": "complaint"}
_ALL = ("person_for_good", "person_for_now", "us", "complaint", "nobody")


def replies() -> list[tuple[str, str, Said]]:
    """Return what is expected of each reply of one line, who says it, and the reply."""
    found = []
    for line in (FOLDER / "replies.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        whose, stage, vendor, text = (part.strip() for part in line.split("|", 3))
        code = _CODE.match(text)
        found.append((whose, vendor, Said(Stage(stage), text, code=int(code.group(1)) if code else None)))
    return found


def whose_of(kind: str) -> str:
    """Return whose the trouble is by the kind under which a message is kept."""
    return _WHOSE.get(kind, "nobody")


def confusion() -> Counter[tuple[str, str]]:
    """Count what was expected and what was said, over all files."""
    pairs = [(whose, classify(said).whose.value) for whose, _vendor, said in replies()]
    for path in FOLDER.glob("*.eml"):
        expected = whose_of(path.stem.partition("--")[0])
        pairs.append((expected, whose_of(parse_message(path.read_bytes()).kind.value)))
    return Counter(pairs)


def main() -> None:
    """Print the matrix: a row for what is so, a column for what was said."""
    found = confusion()
    print("is / said".ljust(17) + "".join(name.rjust(17) for name in _ALL))  # noqa: T201 - a command
    for expected in _ALL:
        print(expected.ljust(17) + "".join(str(found[expected, said]).rjust(17) for said in _ALL))  # noqa: T201
    wrong = sum(number for (expected, said), number in found.items() if expected != said)
    lost = sum(found[other, "person_for_good"] for other in _ALL if other != "person_for_good")
    print(f"{found.total()} judged, {wrong} otherwise than expected; living ones given up: {lost}")  # noqa: T201


if __name__ == "__main__":
    main()
