"""Geometry of bar and line charts for SVG: no style, no script; each chart has a table beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
_GAP = 0.2
#: A few bars are not drawn wider than this many would be.
_MIN_SLOTS = 24
#: How much of the height is for the bars above the line, where there are bars below it.
_UPPER_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class MirroredBars:
    """Bars above and below a line, each side on its own scale: machine hits must not dwarf people's."""

    above: Sequence[Bar]
    below: Sequence[Bar]
    line: float
    highest_above: int
    highest_below: int
    #: False while there are so few bars that they end before the chart does.
    is_full: bool


def mirrored_bars(above: Sequence[int], below: Sequence[int]) -> MirroredBars:
    """Return bars for two rows of numbers of the same length."""
    top, bottom = max(above, default=0), max(below, default=0)
    line = HEIGHT * (_UPPER_SHARE if top and bottom else bool(top))
    width = WIDTH / max(len(above), _MIN_SLOTS)

    def bars(numbers: Sequence[int], highest: int, room: float, *, upwards: bool) -> list[Bar]:
        heights = [(n, number / highest * room) for n, number in enumerate(numbers) if number]
        return [
            Bar(
                round(n * width, 2),
                round(line - height if upwards else line, 2),
                round(width * (1 - _GAP), 2),
                round(height, 2),
            )
            for n, height in heights
        ]

    return MirroredBars(
        bars(above, top, line, upwards=True),
        bars(below, bottom, HEIGHT - line, upwards=False),
        round(line, 2),
        top,
        bottom,
        len(above) >= _MIN_SLOTS,
    )


def sparkline(numbers: Sequence[int], width: int = 240, height: int = 48) -> str:
    """Return the points of a line through numbers, its scale beginning a little under the lowest."""
    if len(numbers) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    low, high = min(numbers), max(numbers)
    scale = (height - 4) / max(high - low, 1)
    step = width / (len(numbers) - 1)
    return " ".join(
        f"{n * step:.1f},{height - 2 - (number - low) * scale:.1f}" for n, number in enumerate(numbers)
    )


def heat_level(number: int, highest: int) -> int:
    """Return a level from 0 to 5."""
    return 0 if not number or not highest else max(1, round(5 * number / highest))
