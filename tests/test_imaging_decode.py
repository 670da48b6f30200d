"""Pictures of every allowed format become the same grey page; others are refused by name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import decode
from pictures import NO_PICTURES, encoded, odd_pictures, written

PAGE = np.add.outer(np.arange(40) * 3, np.arange(60) * 2).astype(np.uint8)  # (40, 60), smooth


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


@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_picture_is_refused_by_name_in_one_sentence(what, tmp_path):
    content, complaint = NO_PICTURES[what]
    path = tmp_path / "seven.png"
    path.write_bytes(content)
    for picture, name in ((path, str(path)), (content, "the upload"), (io.BytesIO(content), "the upload")):
        with pytest.raises(DigitsError) as error:
            decode(picture, "the upload")
        assert name in str(error.value)
        assert complaint in str(error.value)
        assert "\n" not in str(error.value)


def test_too_many_pixels_are_refused_before_they_are_decoded():
    header = NO_PICTURES["too many pixels"][0][:60]  # decoding it would fail otherwise
    with pytest.raises(DigitsError, match="the upload has more than 25 megapixels"):
        decode(header, "the upload")


def test_odd_pictures_show_the_same_page():
    page = written("752").astype(int)
    for what, content in odd_pictures().items():
        found = decode(content)
        assert found.dtype == np.uint8
        if what not in ("light on dark", "1 bit", "transparent", "PDF"):
            assert found.shape == page.shape, what
            assert np.corrcoef(found.ravel(), page.ravel())[0, 1] > 0.98, what


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
    ids=["grey", "floats", "halves", "colours", "opacity", "columns first", "every other"],
)
def test_arrays_are_taken_as_they_are_meant(array):
    found = decode(array)
    assert (found.dtype, found.shape) == (np.uint8, PAGE.shape)
    assert np.abs(found.astype(int) - PAGE).max() <= 1


def test_an_array_of_truths_is_white_where_it_is_true():
    assert decode(np.array([[True, False]])).tolist() == [[255, 0]]


def test_what_is_not_opaque_in_an_array_is_white_paper():
    assert decode(np.zeros((2, 3, 4), np.uint8)).tolist() == [[255] * 3] * 2


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros(5, np.uint8), "shape (5,): expected (height, width)"),
        (np.zeros((2, 2, 2), np.uint8), "shape (2, 2, 2)"),
        (np.zeros((1, 28, 28, 3), np.uint8), "shape (1, 28, 28, 3)"),
        (np.zeros((0, 7), np.uint8), "shape (0, 7)"),
        (np.zeros((2, 2), np.uint16), "values of uint16: expected uint8"),
        (np.zeros((2, 2), complex), "values of complex128"),
        (np.array([["7"]]), "values of <U1"),
        (np.full((2, 2), 255.0), "values beyond 0 to 1"),
        (np.full((2, 2), 1e300), "values beyond 0 to 1"),
        (np.array([[-0.1, 1]]), "values beyond 0 to 1"),
        (np.array([[np.nan, 1]]), "values beyond 0 to 1"),
        (np.broadcast_to(np.uint8(0), (5001, 5000)), "more than 25 megapixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_are_no_page_are_refused(array, complaint):
    with pytest.raises(DigitsError) as error:
        decode(array, "the canvas")
    assert str(error.value).startswith(f"the canvas has {complaint}")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16"])
def test_pillow_images_of_every_mode_are_taken(mode):
    white = Image.new("RGB", (3, 2), "white").convert("L" if mode.startswith("I") else mode[:5])
    image = white if not mode.startswith("I") else Image.fromarray(np.full((2, 3), 65535, np.uint16))
    assert decode(image.convert(mode) if mode == "I" else image).tolist() == [[255] * 3] * 2


def test_a_pillow_image_that_is_empty_huge_or_damaged_is_refused():
    lazy = Image.open(io.BytesIO(NO_PICTURES["half a PNG"][0]))
    for image, complaint in (
        (Image.new("L", (0, 3)), "has no pixels"),
        (Image.new("1", (1, 65_536)), "is longer than 65,535 pixels"),
        (encoded(Image.new("L", (3163, 3163)), "WEBP"), "is a WebP of more than 10 megapixels"),
        (Image.new("1", (5001, 5000)), "has more than 25 megapixels"),
        (lazy, "is damaged or incomplete"),
    ):
        with pytest.raises(DigitsError, match=f"the canvas {complaint}"):
            decode(image, "the canvas")


def test_a_file_object_is_read_from_where_it_is(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(b"---" + encoded(PAGE, "PNG"))
    with path.open("rb") as stream:
        stream.seek(3)
        assert (decode(stream) == PAGE).all()
        assert not stream.closed


def test_a_file_object_that_reads_text_is_refused():
    with pytest.raises(DigitsError, match="the upload is open for reading text: expected a file"):
        decode(io.StringIO("7"), "the upload")


def test_files_of_more_than_200_megabytes_are_refused_before_they_are_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(200_000_001)
    with pytest.raises(DigitsError, match=r"huge\.png has more than 200 MB"):
        decode(tmp_path / "huge.png")


def test_an_endless_stream_is_refused():
    with (
        Path("/dev/zero").open("rb") as stream,
        pytest.raises(DigitsError, match="the file has more than 200 MB"),
    ):
        decode(stream)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_devices_are_no_files(path):
    with pytest.raises(DigitsError, match=f"{path} is a pipe or a device: expected a file"):
        decode(path)


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DigitsError, match="is a pipe or a device"):
        decode(tmp_path / "pipe.png")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(DigitsError, match=r"cannot read .*none\.png: No such file"):
        decode(tmp_path / "none.png")
    with pytest.raises(DigitsError, match=r"cannot read .*: Is a directory"):
        decode(Path(tmp_path))
