"""Whatever colour a merchant chooses, every text in it can be read."""

import re

from hypothesis import example, given
from hypothesis import strategies as some

from services.gateway.pages import branding, chart

COLOUR = some.from_regex(r"\A#[0-9a-f]{6}\Z")


@given(COLOUR)
@example("#ffffff")
@example("#000000")
@example("#facc15")
@example("#767676")
@example("#ff0000")
def test_every_brand_colour_gives_readable_texts_in_light_and_dark(colour: str) -> None:
    light, dark = branding.stylesheet(colour).split("@media")
    value = dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", light))
    night = dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", dark))
    assert value["brand"] == colour
    assert branding.contrast(branding.rgb(value["on-brand"]), branding.rgb(colour)) >= 4.5
    for ground in ("#ffffff", "#f5f6f8", "#f0f2f5", value["brand-soft"]):
        assert branding.contrast(branding.rgb(value["brand-text"]), branding.rgb(ground)) >= 4.5
    for ground in ("#0f1319", "#181e27", "#1f2732", "#131820", night["brand-soft"]):
        assert branding.contrast(branding.rgb(night["brand-text"]), branding.rgb(ground)) >= 4.5


def test_contrast_is_that_of_the_guidelines() -> None:
    assert round(branding.contrast((0, 0, 0), (255, 255, 255)), 2) == 21.0
    assert round(branding.contrast((0x77, 0x77, 0x77), (255, 255, 255)), 2) == 4.48


def test_the_tallest_bar_fills_the_chart_and_a_day_without_money_keeps_a_hair() -> None:
    drawn = chart.bars([("Mon", 0), ("Tue", 500), ("Wed", 1000)])
    assert [bar.empty for bar in drawn] == [True, False, False]
    assert [bar.height for bar in drawn] == [2.0, 76.0, 152.0]
    assert {round(bar.y + bar.height, 1) for bar in drawn} == {164.0}


def test_a_chart_of_nothing_has_no_bars() -> None:
    assert chart.bars([]) == []


@given(some.lists(some.integers(0, 10**12), min_size=1, max_size=60))
def test_bars_stay_inside_the_chart(values: list[int]) -> None:
    for bar in chart.bars([("x", value) for value in values]):
        assert bar.x >= 0
        assert bar.x + bar.width <= chart.WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= chart.HEIGHT
