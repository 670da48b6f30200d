"""Pictures of every allowed format become the same grey page; others are refused by name."""

from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from digit_recognizer.imaging import count_pages, decode, decode_page
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
    assert says(refusal(lambda: decode(header, "the upload")), "the upload", "150 megapixels")


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
        PAGE.astype(np.int64),
        PAGE.astype(np.float32),
        PAGE.astype(np.uint16) * 256,
        PAGE.astype(object),
        PAGE[:, :, None],
        PAGE[None],
        np.stack([PAGE / 255] * 3),
        np.dstack([PAGE, np.full_like(PAGE, 255)]),
    ],
    ids=[
        *("grey", "float64", "float16", "colours", "opacity", "columns first", "strided", "int64"),
        *("floats to 255", "uint16", "objects", "one channel", "first of one", "channels first", "LA"),
    ],
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
        (np.zeros((6, 2, 5), np.uint8), "(6, 2, 5)", "(height, width)"),
        (np.zeros((1, 28, 28, 3), np.uint8), "(1, 28, 28, 3)", "(height, width)"),
        (np.zeros((0, 7), np.uint8), "(0, 7)", "(height, width)"),
        (np.zeros((0, 0)), "(0, 0)", "(height, width)"),
        (np.zeros((2, 2), complex), "complex128", "real numbers"),
        (np.array([["7"]]), "<U1", "real numbers"),
        (np.array([[None, 1]]), "numbers", "numbers"),
        (np.full((2, 2), 1e300), "values", "255"),
        (np.full((2, 2), 65_536), "values", "65,535"),
        (np.array([[-0.1, 1]]), "values", "0 black"),
        (np.array([[np.nan, 1]]), "not numbers", "0 black"),
        (np.array([[np.inf, 1]]), "not numbers", "0 black"),
        (np.broadcast_to(np.uint8(0), (12_501, 12_000)), "more than", "150 megapixels"),
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
        (encoded(Image.new("L", (4000, 3100)), "WEBP"), "at most 12"),
        (encoded(Image.new("RGB", (8000, 7000)), "PNG"), "at most 55"),
        (Image.new("1", (12_501, 12_000)), "150 megapixels"),
        (Image.open(io.BytesIO(NO_PICTURES["half a PNG"][0])), "damaged"),
    ],
    ids=["empty", "long", "a large WebP", "a large PNG", "large", "damaged"],
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


@pytest.mark.parametrize("value", [None, 5, [], [[0, 255]], {}, 1.5])
def test_what_is_no_picture_at_all_is_refused_by_its_type(value):
    assert says(
        refusal(lambda: decode(value)),
        "cannot read",
        "None" if value is None else type(value).__name__,
        "a path",
    )


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_a_name_that_cannot_be_is_refused(value):
    refusal(lambda: decode(value))


# Transparency

INK = np.zeros((20, 30), np.uint8)
INK[5:15, 5:8] = 255


@pytest.mark.parametrize(
    ("ink", "kind", "background"),
    [
        *((0, kind, 255) for kind in ("LA", "RGBA", "palette", "16 bits", "premultiplied")),
        *((255, kind, 0) for kind in ("LA", "RGBA", "palette", "16 bits", "premultiplied")),
        *((grey, "RGBA", 255) for grey in (50, 120)),
        *((grey, "RGBA", 0) for grey in (140, 200)),
    ],
)
def test_ink_on_transparency_gets_the_background_on_which_it_is_seen(ink, kind, background):
    level = Image.new("L", INK.shape[::-1], ink)
    if kind == "premultiplied":  # as some programs save it: darker where it is transparent
        level = Image.fromarray((INK // 255 * ink).astype(np.uint8))
    image = Image.merge("LA", (level, Image.fromarray(INK)))
    if kind == "palette":
        content = encoded(image.convert("RGBA").quantize(4), "PNG")
    elif kind == "16 bits":
        content = encoded(image.convert("RGBA"), "TIFF")
    else:
        content = encoded(image if kind == "LA" else image.convert("RGBA"), "PNG")
    page = decode(content)
    assert (page[0, 0], page[10, 6]) == (background, ink)


@pytest.mark.parametrize(("paper", "ink", "background"), [(230, 40, 255), (30, 220, 0)])
def test_paper_cut_out_of_a_picture_lies_on_its_own_colour(paper, ink, background):
    page = np.full((60, 80), paper, np.uint8)
    page[20:40, 30:35] = ink
    opacity = np.pad(np.full((50, 70), 255, np.uint8), 5)
    assert decode(np.dstack([page, opacity]))[0, 0] == background


def test_a_picture_without_transparent_pixels_or_without_others():
    assert (decode(np.dstack([PAGE, np.full_like(PAGE, 255)])) == PAGE).all()
    assert (decode(np.dstack([PAGE, np.zeros_like(PAGE)])) == 255).all()


# Large pictures, pages, animations, orientation


@pytest.mark.parametrize(
    ("kind", "size", "shape"),
    [
        ("JPEG", (7016, 4960), (2480, 3508)),
        ("PNG", (7016, 4960), (2480, 3508)),
        ("TIFF", (9001, 9000), (4500, 4501)),
    ],
)
def test_large_scans_are_reduced(kind, size, shape):
    image = Image.new("L", size, 255)
    image.paste(0, (size[0] // 2, 0, *size))
    options = {"compression": "packbits"} if kind == "TIFF" else {}
    page = decode_page(encoded(image, kind, **options))
    assert (page.grey.shape, page.width, page.height) == (shape, *size)
    assert page.scale == (size[0] / shape[1], size[1] / shape[0])
    assert (page.grey[5, 5], page.grey[-5, -5]) == (255, 0)


def test_the_pages_of_a_tiff_are_counted_and_decoded():
    pages = [Image.new("L", (5, 4), 10 * each) for each in range(1, 4)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert count_pages(content) == 3
    assert [decode(content, page=each)[0, 0] for each in (1, 2, 3)] == [10, 20, 30]
    assert decode_page(content).pages == 3
    assert says(refusal(lambda: decode(content, page=4)), "page 4", "1 to 3")
    assert count_pages(encoded(pages[0], "TIFF")) is None


def test_an_animation_is_noted(caplog):
    frames = [Image.new("L", (9, 9), grey) for grey in (10, 200)]
    with caplog.at_level("INFO", "digit_recognizer.imaging"):
        decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "a.gif")
    assert says(caplog.text, "a.gif", "first frame")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright_in_every_format(kind, orientation):
    corner = np.full((32, 48), 255, np.uint8)
    corner[:16, :16] = 0
    turned = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}[orientation]
    stored = np.rot90(corner, turned)  # what a camera writes that was turned by so much
    stored = stored[:, ::-1] if orientation in (2, 4, 5, 7) else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    page = decode_page(encoded(np.ascontiguousarray(stored), kind, exif=exif))
    assert (page.width, page.height) == (48, 32)
    assert page.grey.shape == (32, 48)
    assert (page.grey < 128).mean(axis=(0, 1)) == pytest.approx(1 / 6, abs=0.05)
    assert page.grey[4, 4] < 128


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM", "AVIF"])
def test_further_formats(kind):
    if kind == "AVIF":
        pytest.importorskip("PIL._avif")
    assert np.abs(decode(encoded(PAGE, kind)).astype(int) - PAGE).max() <= 12


def test_heic_is_read():
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(PAGE).convert("RGB")).save(stream, quality=95)
    page = decode(stream.getvalue())
    assert page.shape == PAGE.shape
    assert np.abs(page.astype(int) - PAGE).mean() < 5
    assert says(refusal(lambda: decode(stream.getvalue()[:300])), "damaged")


def test_without_pillow_heif_a_heic_is_refused_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50)
    assert says(refusal(lambda: decode(content, "IMG_1.heic")), "IMG_1.heic", "digit-recognizer[heic]")


def test_a_tiff_that_claims_more_than_it_has_is_refused():
    entries = b"".join(struct.pack("<HHII", 300 + each, 1, 900_000, 8) for each in range(900))
    content = b"II*\0\x08\0\0\0" + struct.pack("<H", 900) + entries + bytes(1_000_000)
    assert says(refusal(lambda: decode(content, "a.tif")), "a.tif", "claim more")
