"""The geometry of a bar chart, drawn with SVG attributes: inline styles do not pass our content security policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 200
_TOP, _BOTTOM = 12, 36


@dataclass(frozen=True)
class Bar:
    """One bar in the chart's own coordinates; `label` is empty where labels would collide."""

    x: float
    y: float
    width: float
    height: float
    label: str
    middle: float
    empty: bool


def bars(values: Sequence[tuple[str, int]]) -> list[Bar]:
    """A bar for each (label, value); the largest fills the height, zero keeps a hair so that its day is seen."""
    if not values:
        return []
    room = HEIGHT - _TOP - _BOTTOM
    largest = max(1, *(value for _, value in values))
    step = WIDTH / len(values)
    every = max(1, round(len(values) / 5))
    drawn = []
    for index, (label, value) in enumerate(values):
        height = max(2.0, round(room * max(value, 0) / largest, 1))
        last = len(values) - 1
        shown = (last - index) % every == 0
        x = round(index * step + step * 0.15, 1)
        middle = round(min(max(index * step + step / 2, 44), WIDTH - 44), 1)
        y = round(HEIGHT - _BOTTOM - height, 1)
        drawn.append(Bar(x, y, round(step * 0.7, 1), height, label if shown else "", middle, value <= 0))
    return drawn
