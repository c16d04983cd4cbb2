"""The demo merchant's logo, drawn when it is needed: a cup on a round ground."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw

_GROUND, _CUP = (15, 92, 77, 255), (250, 246, 238, 255)


def logo_png() -> bytes:
    """A square PNG of 256 pixels."""
    large = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)
    draw.ellipse((16, 16, 1008, 1008), fill=_GROUND)
    draw.rounded_rectangle((270, 430, 670, 740), radius=120, fill=_CUP, corners=(False, False, True, True))
    draw.arc((600, 460, 800, 640), start=-100, end=100, fill=_CUP, width=44)
    draw.rounded_rectangle((240, 770, 730, 806), radius=18, fill=_CUP)
    for left in (360, 460, 560):
        draw.rounded_rectangle((left, 260, left + 28, 380), radius=14, fill=_CUP)
    stream = BytesIO()
    large.resize((256, 256), Image.Resampling.LANCZOS).save(stream, "PNG", optimize=True)
    return stream.getvalue()
