"""A merchant's logo: whatever image is sent, what we keep and show is a small PNG that we drew ourselves."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

MAX_BYTES = 64_000
_LARGEST_SIDE = 512
# 16 million pixels are 64 MB once decoded; a logo has no use for more, and a small file may claim billions.
_MAX_PIXELS = 16_000_000


class UnusableImageError(ValueError):
    """The bytes are not an image that can be shown. The message says why, in words for the person who sent it."""


def redraw(image: bytes) -> bytes:
    """A PNG of at most 64,000 bytes and 512 by 512 pixels that looks like `image`, a PNG or JPEG.

    Takes up to a second of CPU: call it in a thread. Nothing of the original file survives but its pixels, so neither
    metadata nor what else might hide in it reaches a browser. Raises UnusableImageError.
    """
    try:
        with Image.open(io.BytesIO(image), formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise UnusableImageError("The image is too large: it may have 16 million pixels at most.")
            opened.draft("RGB", (_LARGEST_SIDE, _LARGEST_SIDE))
            picture = ImageOps.exif_transpose(opened).convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        raise UnusableImageError("The image is too large: it may have 16 million pixels at most.") from bomb
    except (OSError, SyntaxError, ValueError, EOFError) as broken:
        if isinstance(broken, UnusableImageError):
            raise
        raise UnusableImageError("This is not a PNG or JPEG image that we can read.") from broken
    side = min(_LARGEST_SIDE, max(picture.size))
    while True:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        png = _png(picture)
        if len(png) <= MAX_BYTES:
            return png
        side = side * 4 // 5


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()
