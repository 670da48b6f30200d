"""Pictures of every allowed format become the same grey page; others are refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import decode
from digit_recognizer.imaging.decode import MAX_PIXELS

PAGE = np.add.outer(np.arange(40) * 3, np.arange(60) * 2).astype(np.uint8)  # (40, 60), smooth


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_give_the_page_exactly(kind, tmp_path):
    content = encoded(Image.fromarray(PAGE), kind)
    (tmp_path / "picture").write_bytes(content)
    for picture in (content, tmp_path / "picture", str(tmp_path / "picture")):
        page = decode(picture)
        assert page.dtype == np.uint8
        assert (page == PAGE).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_give_the_page_nearly(kind):
    page = decode(encoded(Image.fromarray(PAGE).convert("RGB"), kind, quality=95))
    assert np.abs(page.astype(int) - PAGE).max() <= 8


def test_the_format_is_found_by_content_not_by_name(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(encoded(Image.fromarray(PAGE), "PNG"))
    assert (decode(tmp_path / "picture.jpg") == PAGE).all()


def test_a_photo_is_turned_upright_as_its_exif_orientation_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    content = encoded(Image.fromarray(PAGE), "PNG", exif=exif)
    assert (decode(content) == np.rot90(PAGE, -1)).all()


def test_transparent_parts_are_white_paper():
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    assert decode(encoded(image, "PNG")).tolist() == [[255, 0, 127, 255], [255] * 4]


def test_a_palette_with_a_transparent_colour_is_composited_too():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 10, 10, 10])
    assert decode(encoded(image, "PNG", transparency=0)).tolist() == [[255, 10]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_greys_keep_their_upper_bits(kind):
    deep = PAGE.astype(np.uint16) * 256 + 77
    assert (decode(encoded(Image.fromarray(deep), kind)) == PAGE).all()


def test_black_and_white_and_cmyk_and_the_first_frame_of_an_animation():
    two = Image.fromarray(PAGE > 100)
    assert decode(encoded(two, "PNG")).tolist() == np.where(PAGE > 100, 255, 0).tolist()
    assert decode(encoded(Image.new("CMYK", (3, 3)), "JPEG")).tolist() == [[255] * 3] * 3
    frames = [Image.new("L", (3, 3), grey) for grey in (10, 200)]
    assert (
        decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).tolist() == [[10] * 3] * 3
    )


@pytest.mark.parametrize("content", [b"", b"label,pixel0\n1,2\n", b"\x89PNG\r\n", b"%PDF-1.7"])
def test_what_is_no_picture_is_refused_by_name(content, tmp_path):
    (tmp_path / "seven.png").write_bytes(content)
    with pytest.raises(DigitsError, match="not a picture: expected PNG, JPEG") as error:
        decode(tmp_path / "seven.png")
    assert str(tmp_path / "seven.png") in str(error.value)


def test_a_format_that_is_not_allowed_is_refused_though_pillow_knows_it():
    with pytest.raises(DigitsError, match="the upload is not a picture"):
        decode(encoded(Image.fromarray(PAGE), "PPM"), "the upload")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_truncated_picture_is_refused_by_name(kind):
    content = encoded(Image.fromarray(np.random.default_rng(3).integers(0, 256, (90, 90), np.uint8)), kind)
    with pytest.raises(DigitsError, match=r"the upload is (damaged|not a picture)"):
        decode(content[: len(content) // 2], "the upload")


def test_too_many_pixels_are_refused_before_they_are_decoded():
    side = int(MAX_PIXELS**0.5) + 1
    content = encoded(Image.new("1", (side, side)), "PNG")
    damaged = content[:60]  # the header alone: decoding it would fail otherwise
    with pytest.raises(DigitsError, match="the upload has more than 25 megapixels"):
        decode(damaged, "the upload")


@pytest.mark.parametrize("side", [10_000, 20_000])  # where Pillow warns, where it refuses
def test_what_pillow_calls_a_bomb_is_too_large_too(side):
    header = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    header[18:26] = side.to_bytes(4, "little") * 2
    with pytest.raises(DigitsError, match="more than 25 megapixels"):
        decode(bytes(header))


def test_floating_point_pictures_are_refused():
    content = encoded(Image.fromarray(PAGE.astype(np.float32)), "TIFF")
    with pytest.raises(DigitsError, match="pixels of float32: expected 8 or 16 bits"):
        decode(content)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(DigitsError, match=r"cannot read .*none\.png: No such file"):
        decode(tmp_path / "none.png")
    with pytest.raises(DigitsError, match=r"cannot read .*: Is a directory"):
        decode(Path(tmp_path))
