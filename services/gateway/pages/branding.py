"""A merchant's brand colour as a stylesheet in which every text stays readable (WCAG 2.2 AA, 1.4.3)."""

from __future__ import annotations

from functools import lru_cache

Rgb = tuple[int, int, int]
WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
# The grounds that brand-coloured text stands on, from portal.css: --sunken and --raised are the hardest of each theme.
_LIGHT_GROUND: Rgb = (0xF0, 0xF2, 0xF5)
_DARK_GROUND: Rgb = (0x29, 0x31, 0x3D)
_ENOUGH = 4.6  # 4.5 is the rule; the rest pays for rounding to whole channels


def rgb(colour: str) -> Rgb:
    """`#2457d6` as its channels."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def luminance(colour: Rgb) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2, its definition of that name)."""
    red, green, blue = (
        channel / 255 / 12.92 if channel / 255 <= 0.04045 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2, its definition of that name)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """`share` of `one`, the rest of `other`."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def on(colour: Rgb) -> Rgb:
    """White or black, whichever is easier to read on it. One of the two always passes 4.5."""
    return WHITE if contrast(WHITE, colour) >= _ENOUGH else max(WHITE, BLACK, key=lambda ink: contrast(ink, colour))


def readable(colour: Rgb, ground: Rgb) -> Rgb:
    """The nearest tint or shade of `colour` that can be read on `ground` and on its own soft ground."""
    towards = BLACK if luminance(ground) > 0.5 else WHITE
    shades = (mix(colour, towards, 1 - step / 50) for step in range(50))
    return next((s for s in shades if min(contrast(s, ground), contrast(s, soft(s, ground))) >= _ENOUGH), towards)


def soft(ink: Rgb, ground: Rgb) -> Rgb:
    """A ground with a breath of the ink's colour."""
    return mix(ink, WHITE, 0.1) if luminance(ground) > 0.5 else mix(ink, (0x18, 0x1E, 0x27), 0.14)


@lru_cache(maxsize=512)
def stylesheet(colour: str) -> str:
    """The custom properties of `portal.css` that depend on the merchant, for light and dark."""
    brand = rgb(colour)
    light, dark = readable(brand, _LIGHT_GROUND), readable(brand, _DARK_GROUND)
    return (
        f":root{{--brand:{_css(brand)};--on-brand:{_css(on(brand))};"
        f"--brand-text:{_css(light)};--brand-soft:{_css(soft(light, _LIGHT_GROUND))}}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{"
        f"--brand-text:{_css(dark)};--brand-soft:{_css(soft(dark, _DARK_GROUND))}}}}}\n"
    )


def _css(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
