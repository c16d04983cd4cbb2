import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from services.identity.domain.logo import MAX_BYTES, UnusableImageError, redraw


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def noise(width: int, height: int) -> Image.Image:
    import random

    return Image.frombytes("RGBA", (width, height), random.Random(7).randbytes(width * height * 4))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_a_small_image_keeps_its_size_and_its_transparency() -> None:
    picture = opened(redraw(encoded(Image.new("RGBA", (200, 80), (36, 87, 214, 128)))))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (200, 80), "RGBA")
    assert picture.getpixel((100, 40)) == (36, 87, 214, 128)


def test_a_large_image_is_made_small_in_proportion() -> None:
    assert opened(redraw(encoded(Image.new("RGB", (2000, 1000), "red")))).size == (512, 256)


def test_a_photograph_fits_into_64_kilobytes() -> None:
    png = redraw(encoded(noise(500, 500)))
    assert MAX_BYTES == 64_000
    assert 20_000 < len(png) <= 64_000
    assert opened(png).width == opened(png).height


def test_a_jpeg_of_a_turned_camera_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(redraw(encoded(Image.new("RGB", (60, 20), "blue"), "JPEG", exif=exif))).size == (20, 60)


def test_nothing_but_pixels_survives() -> None:
    hidden = PngInfo()
    hidden.add_text("Comment", "<script>alert(1)</script>")
    original = encoded(Image.new("RGB", (10, 10), "green"), pnginfo=hidden)
    assert b"<script>" in original
    png = redraw(original + b"<?php trailing ?>")
    assert b"<script>" not in png
    assert b"php" not in png


@pytest.mark.parametrize(("width", "height"), [(5000, 5000), (16_000_001, 1), (20_000, 20_000), (65_000, 65_000)])
def test_a_small_file_that_claims_millions_of_pixels_is_refused_unread(width: int, height: int) -> None:
    bomb = png_that_claims(width, height)
    assert len(bomb) < 100
    with pytest.raises(UnusableImageError, match="16 million pixels"):
        redraw(bomb)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_kinds_of_image_are_refused(kind: str) -> None:
    with pytest.raises(UnusableImageError, match="not a PNG or JPEG"):
        redraw(encoded(Image.new("RGB", (10, 10)), kind))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_redrawn_or_refused_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG"]))
    damaged = bytearray(encoded(noise(12, 12).convert("RGB"), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(damaged)))
    try:
        png = redraw(bytes(damaged[:length]))
    except UnusableImageError:
        return
    assert opened(png).format == "PNG"
