"""Bars and lines as numbers for SVG: no style, no script, and a table stands behind each."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
_GAP = 0.2
#: A few bars are not drawn wider than this many would be.
_FEWEST = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mirrored:
    """Bars above a line and bars below it, on one scale."""

    above: Sequence[Bar]
    below: Sequence[Bar]
    line: float
    highest: int


def mirrored(above: Sequence[int], below: Sequence[int]) -> Mirrored:
    """Return bars for two rows of numbers of the same length."""
    top, bottom = max(above, default=0), max(below, default=0)
    scale = HEIGHT / max(top + bottom, 1)
    line = top * scale
    width = WIDTH / max(len(above), _FEWEST)

    def bar(position: int, y: float, height: float) -> Bar:
        return Bar(round(position * width, 2), round(y, 2), round(width * (1 - _GAP), 2), round(height, 2))

    return Mirrored(
        [bar(n, line - number * scale, number * scale) for n, number in enumerate(above) if number],
        [bar(n, line, number * scale) for n, number in enumerate(below) if number],
        round(line, 2),
        max(top, bottom),
    )


def line(numbers: Sequence[int], width: int = 240, height: int = 48) -> str:
    """Return the points of a line through numbers, its scale beginning a little under the lowest."""
    if len(numbers) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    low, high = min(numbers), max(numbers)
    scale = (height - 4) / max(high - low, 1)
    step = width / (len(numbers) - 1)
    return " ".join(
        f"{n * step:.1f},{height - 2 - (number - low) * scale:.1f}" for n, number in enumerate(numbers)
    )


def heat(number: int, highest: int) -> int:
    """Return a level from 0 to 5."""
    return 0 if not number or not highest else max(1, round(5 * number / highest))
