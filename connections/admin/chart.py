"""A small bar chart as SVG, made here: no script, and the numbers beside it for who cannot see it."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, FOOT = 560, 120, 18
GAP = 4


@dataclass(frozen=True)
class Bar:
    """`parts` from the bottom up, one number for each series of its chart."""

    label: str
    parts: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.parts)


@dataclass(frozen=True)
class Box:
    """A part of a bar, in the units of the picture."""

    x: float
    y: float
    width: float
    height: float
    series: int
    words: str


@dataclass(frozen=True)
class Chart:
    """`empty` is said where every number is 0."""

    title: str
    series: Sequence[str]
    bars: Sequence[Bar]
    empty: str

    width, height, base = WIDTH, HEIGHT + FOOT, HEIGHT

    @property
    def most(self) -> int:
        return max((bar.total for bar in self.bars), default=0)

    @property
    def words(self) -> str:
        """The picture in a sentence."""
        top = max(self.bars, key=lambda bar: bar.total)
        total = sum(bar.total for bar in self.bars)
        return f"{total} in all; the most on {top.label}: {top.total}."

    @property
    def boxes(self) -> list[Box]:
        step = WIDTH / max(len(self.bars), 1)
        found = []
        for number, bar in enumerate(self.bars):
            below = 0.0
            for series, value in enumerate(bar.parts):
                height = round(HEIGHT * value / self.most, 2) if self.most else 0.0
                if value:
                    y = round(HEIGHT - below - height, 2)
                    words = f"{bar.label}: {value} {self.series[series]}"
                    found.append(Box(round(number * step + GAP / 2, 2), y, round(step - GAP, 2), height, series, words))
                below += height
        return found

    @property
    def labels(self) -> list[tuple[float, str]]:
        """Under every other bar, counted from the last."""
        step = WIDTH / max(len(self.bars), 1)
        last = len(self.bars) - 1
        return [
            (round((number + 0.5) * step, 2), bar.label)
            for number, bar in enumerate(self.bars)
            if (last - number) % 2 == 0
        ]
