"""A small picture of numbers by day: two bars for each, drawn on the server as SVG, with the same in a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from connections.admin.panel import Table

WIDTH, HEIGHT, TOP, BOTTOM, LEFT = 640, 220, 16, 36, 64
SERIES = ("first", "second")


@dataclass(frozen=True)
class Bar:
    x: int
    y: int
    width: int
    height: int
    series: str
    words: str


@dataclass(frozen=True)
class Label:
    x: int
    text: str


@dataclass(frozen=True)
class Chart:
    """`days` are consecutive, oldest first: (day, number of the first name, of the second)."""

    title: str
    names: tuple[str, str]
    days: Sequence[tuple[date, int, int]]
    empty: str
    width, height, left, top = WIDTH, HEIGHT, LEFT, TOP
    floor = HEIGHT - BOTTOM
    middle = (TOP + HEIGHT - BOTTOM) // 2
    below = HEIGHT - 10

    @property
    def most(self) -> int:
        return max((max(first, second) for _, first, second in self.days), default=0)

    @property
    def legend(self) -> list[tuple[str, str]]:
        return list(zip(SERIES, self.names, strict=True))

    @property
    def words(self) -> str:
        """What the picture shows, for who does not see it."""
        totals = (sum(day[1] for day in self.days), sum(day[2] for day in self.days))
        busiest = max(self.days, key=lambda day: day[1] + day[2])
        said = ", ".join(f"{total:,} in {name}" for total, name in zip(totals, self.names, strict=True))
        return f"In {len(self.days)} days {said}; most on {busiest[0]}."

    @property
    def bars(self) -> list[Bar]:
        step = (WIDTH - LEFT) // len(self.days)
        thick = max(2, step * 2 // 5)
        found = []
        for place, (day, *numbers) in enumerate(self.days):
            for which, number in enumerate(numbers):
                if number > 0:
                    # A single change among thousands is seen too.
                    tall = max(3, round(number * (self.floor - TOP) / self.most))
                    x = LEFT + place * step + which * thick
                    words = f"{day}: {number:,} in {self.names[which]}"
                    found.append(Bar(x, self.floor - tall, thick - 2, tall, SERIES[which], words))
        return found

    @property
    def labels(self) -> list[Label]:
        step = (WIDTH - LEFT) // len(self.days)
        places = range(0, len(self.days), max(1, -(-len(self.days) // 4)))
        return [Label(LEFT + place * step, f"{self.days[place][0]:%d %b}") for place in places]

    @property
    def table(self) -> Table:
        rows = [(str(day), f"{first:,}", f"{second:,}") for day, first, second in reversed(self.days) if first + second]
        return Table(f"{self.title}, in numbers", ["Day (UTC)", *self.names], rows, self.empty)
