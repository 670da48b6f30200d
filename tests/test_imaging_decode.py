"""Pictures of every allowed format become the same grey page; others are refused by name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.imaging import decode
from helpers import refusal, says
from pictures import NO_PICTURES, encoded, odd_pictures, written

PAGE = np.add.outer(np.arange(40) * 3, np.arange(60) * 2).astype(np.uint8)  # (40, 60), smooth


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_give_the_page_exactly(kind, tmp_path):
    content = encoded(PAGE, kind)
    path = tmp_path / "picture.jpg"  # the name does not matter
    path.write_bytes(content)
    for picture in (content, path, str(path)):
        page = decode(picture)
        assert page.dtype == np.uint8
        assert (page == PAGE).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_give_the_page_nearly(kind):
    page = decode(encoded(Image.fromarray(PAGE).convert("RGB"), kind, quality=95))
    assert np.abs(page.astype(int) - PAGE).max() <= 8


def test_a_photo_is_rotated_upright_by_its_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to view
    assert (decode(encoded(PAGE, "PNG", exif=exif)) == np.rot90(PAGE, -1)).all()


def test_transparent_areas_become_white():
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    assert decode(encoded(image, "PNG")).tolist() == [[255, 0, 127, 255], [255] * 4]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 10, 10, 10])
    assert decode(encoded(palette, "PNG", transparency=0)).tolist() == [[255, 10]]
    assert decode(np.zeros((2, 3, 4), np.uint8)).tolist() == [[255] * 3] * 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_keep_their_upper_bits(kind):
    deep = PAGE.astype(np.uint16) * 256 + 77
    assert (decode(encoded(deep, kind)) == PAGE).all()


def test_one_bit_cmyk_and_the_first_frame_of_an_animation():
    two = Image.fromarray(PAGE > 100)
    assert decode(encoded(two, "PNG")).tolist() == np.where(PAGE > 100, 255, 0).tolist()
    assert decode(encoded(Image.new("CMYK", (3, 3)), "JPEG")).tolist() == [[255] * 3] * 3
    first, second = (Image.new("L", (3, 3), grey) for grey in (10, 200))
    animation = encoded(first, "GIF", save_all=True, append_images=[second])
    assert decode(animation).tolist() == [[10] * 3] * 3


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_files_that_are_not_pictures_are_refused_by_name(kind, tmp_path):
    content, fact = NO_PICTURES[kind]
    path = tmp_path / "seven.png"
    path.write_bytes(content)
    for picture, name in ((path, path), (content, "the upload"), (io.BytesIO(content), "the upload")):
        assert says(refusal(lambda picture=picture: decode(picture, "the upload")), name, fact)


def test_too_many_pixels_are_refused_before_they_are_decoded():
    header = NO_PICTURES["too many pixels"][0][:60]  # decoding it would fail otherwise
    assert says(refusal(lambda: decode(header, "the upload")), "the upload", "25 megapixels")


def test_odd_pictures_show_the_same_page():
    page = written("752").astype(int)
    for kind, content in odd_pictures().items():
        found = decode(content)
        assert found.dtype == np.uint8
        if kind not in ("light on dark", "1 bit", "transparent", "PDF"):
            assert found.shape == page.shape, kind
            assert np.corrcoef(found.ravel(), page.ravel())[0, 1] > 0.98, kind


@pytest.mark.parametrize(
    "array",
    [
        PAGE,
        PAGE / 255,
        (PAGE / 255).astype(np.float16),
        np.dstack([PAGE] * 3),
        np.dstack([PAGE] * 3 + [np.full_like(PAGE, 255)]),
        np.asfortranarray(PAGE),
        PAGE.repeat(2, axis=1)[:, ::2],
    ],
    ids=["grey", "float64", "float16", "colours", "opacity", "columns first", "strided"],
)
def test_arrays_are_pages(array):
    found = decode(array)
    assert (found.dtype, found.shape) == (np.uint8, PAGE.shape)
    assert np.abs(found.astype(int) - PAGE).max() <= 1


def test_a_bool_array_is_white_where_it_is_true():
    assert decode(np.array([[True, False]])).tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("array", "found", "expected"),
    [
        (np.zeros(5, np.uint8), "(5,)", "(height, width)"),
        (np.zeros((2, 2, 2), np.uint8), "(2, 2, 2)", "(height, width)"),
        (np.zeros((1, 28, 28, 3), np.uint8), "(1, 28, 28, 3)", "(height, width)"),
        (np.zeros((0, 7), np.uint8), "(0, 7)", "(height, width)"),
        (np.zeros((2, 2), np.uint16), "uint16", "uint8"),
        (np.zeros((2, 2), complex), "complex128", "uint8"),
        (np.array([["7"]]), "<U1", "uint8"),
        (np.full((2, 2), 255.0), "values", "0 to 1"),
        (np.full((2, 2), 1e300), "values", "0 to 1"),
        (np.array([[-0.1, 1]]), "values", "0 to 1"),
        (np.array([[np.nan, 1]]), "values", "0 to 1"),
        (np.broadcast_to(np.uint8(0), (5001, 5000)), "more than", "25 megapixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_arrays_are_refused(array, found, expected):
    assert says(refusal(lambda: decode(array, "the canvas")), "the canvas", found, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16"])
def test_pillow_images_of_every_mode_are_pages(mode):
    white = Image.new("RGB", (3, 2), "white").convert("L" if mode.startswith("I") else mode[:5])
    image = white if not mode.startswith("I") else Image.fromarray(np.full((2, 3), 65535, np.uint16))
    assert decode(image.convert(mode) if mode == "I" else image).tolist() == [[255] * 3] * 2


@pytest.mark.parametrize(
    ("image", "fact"),
    [
        (Image.new("L", (0, 3)), "no pixels"),
        (Image.new("1", (1, 65_536)), "65,535 pixels"),
        (encoded(Image.new("L", (3163, 3163)), "WEBP"), "10 megapixels"),
        (Image.new("1", (5001, 5000)), "25 megapixels"),
        (Image.open(io.BytesIO(NO_PICTURES["half a PNG"][0])), "damaged"),
    ],
    ids=["empty", "long", "a large WebP", "large", "damaged"],
)
def test_other_pillow_images_are_refused(image, fact):
    assert says(refusal(lambda: decode(image, "the canvas")), "the canvas", fact)


def test_a_file_object_is_read_from_its_position(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(b"---" + encoded(PAGE, "PNG"))
    with path.open("rb") as stream:
        stream.seek(3)
        assert (decode(stream) == PAGE).all()
        assert not stream.closed


def test_a_file_object_that_reads_text_is_refused():
    assert says(refusal(lambda: decode(io.StringIO("7"), "the upload")), "the upload", "text", "'rb'")


def test_files_of_more_than_200_megabytes_are_refused_before_they_are_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(200_000_001)
    assert says(refusal(lambda: decode(tmp_path / "huge.png")), "huge.png", "200 MB")


def test_an_endless_stream_is_refused():
    with Path("/dev/zero").open("rb") as stream:
        assert says(refusal(lambda: decode(stream)), "the file", "200 MB")


def test_devices_and_pipes_are_refused_without_reading_them(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in ("/dev/zero", "/dev/null", tmp_path / "pipe.png"):
        assert says(refusal(lambda path=path: decode(path)), path, "expected a file")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    assert says(refusal(lambda: decode(tmp_path / "none.png")), "none.png", "No such file")
    assert says(refusal(lambda: decode(Path(tmp_path))), tmp_path, "directory")
