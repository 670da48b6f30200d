"""The command `digits read`: text, JSON, CSV and drawings of pictures; and pictures that are none."""

from __future__ import annotations

import csv
import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.cli import reading as command
from digit_recognizer.reading import Box, Line, Number, ReadDigit, Reading, SingleDigit
from pictures import NO_PICTURES, encoded, pdf_of, raw_pdf, written

COLUMNS = ["picture", "page", "line", "text", "confidence", "x", "y", "width", "height"]


def read_digit(digit: int, x: int) -> ReadDigit:
    probabilities = [0.0] * 10
    probabilities[digit] = 1.0
    return ReadDigit(digit, Box(x, 5, 4, 8), tuple(probabilities), 0.9)


def number(text: str, x: int = 0) -> Number:
    return Number(tuple(read_digit(int(digit), x + 5 * place) for place, digit in enumerate(text)))


READINGS = {
    10: Reading(()),
    20: Reading((Line((number("2026"), number("17", 40))), Line((number("42"),)))),
    30: Reading((Line((number("7"),)),), (Box(1, 2, 3, 4),)),
}  # by the grey of the page
INTERRUPTED = 40


class Reader:
    """A recognizer that reads the shade of a page."""

    def __init__(self, model: Path | None) -> None:
        assert model is None

    def read(self, page: np.ndarray) -> Reading:
        if page[0, 0] == INTERRUPTED:
            raise KeyboardInterrupt
        return READINGS[int(page[0, 0])]

    def read_single(self, page: np.ndarray, threshold: float) -> SingleDigit:
        digit = 7 if threshold <= 0.6 else None
        return SingleDigit(digit if page[0, 0] == 30 else None, 0.6, (0.1,) * 10)


def draw(path: Path, grey: int, size: int = 16) -> Path:
    Image.new("L", (size, size), grey).save(path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder as the current one, and a recognizer that takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "Recognizer", Reader)
    return tmp_path


@pytest.fixture
def digits(run_command, here) -> Callable[[str], tuple[int, str, str]]:  # noqa: ARG001
    """Return a function that runs a command in this process: status, output, errors."""
    return run_command


@pytest.fixture
def scans(here) -> Path:
    """A folder with two pictures, one that is none, a PDF of two pages, and what is not to be read."""
    folder = here / "scans"
    (folder / "more.png").mkdir(parents=True)
    draw(folder / "a.png", 20)
    draw(folder / "c.PNG", 10)
    (folder / "b.jpg").write_bytes(b"none")
    (folder / "d.pdf").write_bytes(pdf_of(np.full((16, 16), 30, np.uint8), np.full((16, 16), 20, np.uint8)))
    (folder / "._a.png").write_bytes(b"none")
    (folder / "notes.txt").write_text("7")
    os.mkfifo(folder / "pipe.png")
    return folder


LINES = """scans/a.png: 2026 17 / 42
scans/c.PNG: no digits
scans/d.pdf, page 1: 7
scans/d.pdf, page 2: 2026 17 / 42
"""
COMPLAINT = "scans/b.jpg is not a picture: expected PNG, JPEG, WebP, BMP, GIF, TIFF or PDF"


# Text


@pytest.mark.parametrize(("grey", "text"), [(20, "2026 17\n42\n"), (30, "7\n"), (10, "no digits\n")])
def test_of_one_picture_the_text_is_printed_line_by_line(grey, text, digits, here):
    draw(here / "a.png", grey)
    assert digits("read a.png") == (0, text, "")


@pytest.mark.usefixtures("scans")
def test_of_many_pictures_each_has_a_line_and_a_bad_one_does_not_stop_the_rest(digits):
    assert digits("read scans") == (2, LINES, f"digits: {COMPLAINT}\n")


@pytest.mark.usefixtures("scans")
def test_a_picture_named_twice_is_read_once(digits):
    assert digits("read scans/d.pdf scans ./scans/ scans/a.png")[1].splitlines() == [
        *LINES.splitlines()[2:],
        *LINES.splitlines()[:2],
    ]


def test_a_picture_alone_in_a_folder_is_named(digits, here):
    (here / "scans").mkdir()
    draw(here / "scans/a.png", 30)
    assert digits("read scans")[1] == "scans/a.png: 7\n"
    assert digits("read scans/a.png")[1] == "7\n"


def test_a_folder_without_pictures_says_what_was_expected(digits, here):
    (here / "scans").mkdir()
    (here / "scans/notes.txt").write_text("7")
    status, output, errors = digits("read scans")
    assert (status, output) == (2, "")
    assert errors.startswith("digits: scans holds no pictures: expected files that end in .bmp, .gif, ")


def test_a_folder_without_pictures_does_not_stop_the_other_pictures(digits, here):
    (here / "scans").mkdir()
    draw(here / "a.png", 30)
    status, output, errors = digits("read scans a.png")
    assert (status, output) == (2, "a.png: 7\n")
    assert errors.startswith("digits: scans holds no pictures")


def test_a_folder_that_cannot_be_read_does_not_stop_the_other_pictures(digits, here, monkeypatch):
    (here / "scans").mkdir()
    draw(here / "a.png", 30)

    def closed(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", closed)
    assert digits("read scans a.png") == (2, "a.png: 7\n", "digits: cannot read scans: Permission denied\n")


def test_a_name_is_asked_for(digits, here):
    draw(here / "a.png", 30)
    sentence = "digits: a picture without a name: expected files, or folders of them\n"
    assert digits("read '' a.png") == (2, "", sentence)


def test_a_name_stays_on_its_line_and_gives_the_terminal_no_orders(digits, here):
    name = "a\n\x1b[31mb.png"
    draw(here / name, 30)
    (here / "\x1b[31mnone.png").write_bytes(b"none")
    status, output, errors = digits("read .")
    assert (status, output) == (2, "a\\n\\x1b[31mb.png: 7\n")
    assert errors.startswith("digits: \\x1b[31mnone.png is not a picture")
    assert json.loads(digits("read . --json")[1].splitlines()[1])["picture"] == name


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(("number", "output"), [(1, "7\n"), (2, "2026 17\n42\n")])
def test_a_page_of_a_pdf_is_read_and_drawn_alone(number, output, digits, here):
    assert digits(f"read scans/d.pdf --page {number} --show out.png") == (0, output, "")
    assert (here / "out.png").exists()


@pytest.mark.usefixtures("scans")
def test_a_page_that_is_not_there_is_said(digits):
    assert digits("read scans --page 3") == (2, "", "digits: there is no page 3: expected 1 to 2\n")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.png", "cannot read none.png: No such file or directory"),
        ("-", "cannot read -: No such file or directory"),
        ("/dev/zero", "/dev/zero is a pipe or a device: expected a file"),
        (f"{'x' * 300}.png", f"cannot read {'x' * 300}.png: File name too long"),
    ],
)
def test_what_is_no_file_is_one_sentence(name, sentence, digits, here):
    draw(here / "a.png", 30)
    assert digits(f"read {name}") == (2, "", f"digits: {sentence}\n")
    assert digits(f"read {name} a.png") == (2, "a.png: 7\n", f"digits: {sentence}\n")


@pytest.mark.parametrize("what", NO_PICTURES)
@pytest.mark.parametrize("option", ["", "--single", "--show out.png", "--csv out.csv"])
def test_a_file_that_is_no_picture_is_one_sentence(what, option, digits, here):
    content, complaint = NO_PICTURES[what]
    (here / "seven.png").write_bytes(content)
    status, output, errors = digits(f"read seven.png {option}")
    assert (status, output) == (2, "")
    assert errors.startswith("digits: ")
    assert complaint in errors
    assert errors.count("\n") == 1
    assert not (here / "out.png").exists()


def test_a_damaged_page_does_not_stop_the_other_pages(digits, here):
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>"
    grey = "<</Length 34>>stream\n0.0784313725 g 0 0 9 9 re f        \nendstream"
    (here / "form.pdf").write_bytes(raw_pdf("/Kids[9 0 R 3 0 R]/Count 2", page, grey))
    expected = (2, "form.pdf, page 2: 2026 17 / 42\n", "digits: page 1 of form.pdf is damaged\n")
    assert digits("read form.pdf") == expected


def test_a_name_that_is_no_utf_8_is_shown_as_well_as_it_can_be(digits, here):
    name = os.fsdecode(b"\xff7.png")
    draw(here / name, 30)
    (here / "b.png").write_bytes(b"none")
    status, output, errors = digits("read . --csv out.csv")
    assert (status, output) == (2, "\\udcff7.png: 7\n")
    assert errors.startswith("digits: b.png is not a picture")
    assert json.loads(digits("read . --json")[1].splitlines()[1])["picture"] == name
    assert (here / "out.csv").read_text("utf-8").splitlines()[1].startswith("\\udcff7.png,")


# One digit


@pytest.mark.parametrize(
    ("option", "text"), [("", "7"), ("--threshold 0.6", "7"), ("--threshold 0.61", "not sure")]
)
def test_a_single_digit_is_given_from_the_threshold_on(option, text, digits, here):
    draw(here / "a.png", 30)
    assert digits(f"read a.png --single {option}") == (0, f"{text}\n", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--threshold 0.9", "--threshold is for --single: give both, or take the probabilities of --json"),
        ("--single --show out.png", "--show draws all that is read in a picture: leave --single away"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, sentence, digits, here):
    draw(here / "a.png", 30)
    assert digits(f"read a.png {options}") == (2, "", f"digits: {sentence}\n")


# JSON


@pytest.mark.usefixtures("scans")
def test_json_has_an_object_a_page_on_a_line_of_its_own(digits):
    status, output, errors = digits("read scans --json")
    assert (status, errors) == (2, "")
    first, bad, blank, *pages = map(json.loads, output.splitlines())
    assert first == {"picture": "scans/a.png", **json.loads(json.dumps(READINGS[20].as_dict()))}
    assert bad == {"picture": "scans/b.jpg", "error": COMPLAINT}
    assert blank == {"picture": "scans/c.PNG", "text": "", "lines": [], "rejected": []}
    assert [(each["picture"], each["page"], each["text"]) for each in pages] == [
        ("scans/d.pdf", 1, "7"),
        ("scans/d.pdf", 2, "2026 17\n42"),
    ]
    assert pages[0]["rejected"] == [{"x": 1, "y": 2, "width": 3, "height": 4}]


def test_json_of_a_single_digit_has_null_where_it_is_not_sure(digits, here):
    draw(here / "a.png", 30)
    found = json.loads(digits("read a.png --single --json")[1])
    assert found == {"picture": "a.png", "digit": 7, "confidence": 0.6, "probabilities": [0.1] * 10}
    found = json.loads(digits("read a.png --single --threshold 0.9 --json")[1])
    assert (found["digit"], found["confidence"]) == (None, 0.6)


# CSV


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text("utf-8").splitlines()))


@pytest.mark.usefixtures("scans")
def test_a_csv_has_a_row_a_number(digits, here):
    assert digits("read scans --csv out.csv")[1] == LINES
    header, *numbers = rows(here / "out.csv")
    assert header == COLUMNS
    assert numbers == [
        ["scans/a.png", "", "1", "2026", "0.6561", "0", "5", "19", "8"],
        ["scans/a.png", "", "1", "17", "0.8100", "40", "5", "9", "8"],
        ["scans/a.png", "", "2", "42", "0.8100", "0", "5", "9", "8"],
        ["scans/d.pdf", "1", "1", "7", "0.9000", "0", "5", "4", "8"],
        ["scans/d.pdf", "2", "1", "2026", "0.6561", "0", "5", "19", "8"],
        ["scans/d.pdf", "2", "1", "17", "0.8100", "40", "5", "9", "8"],
        ["scans/d.pdf", "2", "2", "42", "0.8100", "0", "5", "9", "8"],
    ]


@pytest.mark.usefixtures("scans")
def test_a_csv_of_single_digits_has_a_row_a_page_and_nothing_where_it_is_not_sure(digits, here):
    digits("read scans --single --csv out.csv")
    assert [row[:5] for row in rows(here / "out.csv")[1:]] == [
        ["scans/a.png", "", "1", "", "0.6000"],
        ["scans/c.PNG", "", "1", "", "0.6000"],
        ["scans/d.pdf", "1", "1", "7", "0.6000"],
        ["scans/d.pdf", "2", "1", "", "0.6000"],
    ]


@pytest.mark.parametrize(
    ("target", "reason"), [("none/out.csv", "No such file or directory"), ("scans", "Is a directory")]
)
@pytest.mark.usefixtures("scans")
def test_a_csv_that_cannot_be_written_is_said_before_anything_is_read(target, reason, digits):
    assert digits(f"read scans --csv {target}") == (2, "", f"digits: cannot write {target}: {reason}\n")


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.usefixtures("scans")
def test_ctrl_c_halfway_leaves_no_half_of_a_csv(before, digits, here):
    draw(here / "scans/b.png", INTERRUPTED)
    if before is not None:
        (here / "out.csv").write_text(before)
    names = sorted(here.iterdir())
    status, output, _ = digits("read scans --csv out.csv")
    assert (status, output) == (130, LINES.splitlines(keepends=True)[0])
    assert sorted(here.iterdir()) == names
    assert before is None or (here / "out.csv").read_text() == before


# Drawings


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.JPEG"])
def test_a_picture_is_drawn_with_what_was_read_in_it(name, digits, here):
    draw(here / "a.png", 20, 100)
    assert digits(f"read a.png --show {name}") == (0, "2026 17\n42\n", "")
    with Image.open(here / name) as drawn:
        assert (drawn.size, drawn.mode) == ((100, 100), "RGB")
        assert drawn.format == ("PNG" if name == "out.png" else "JPEG")
        assert len(drawn.getcolors(100_000)) > 3


def test_a_pdf_of_one_page_is_drawn(digits, here):
    (here / "one.pdf").write_bytes(pdf_of(np.full((30, 30), 30, np.uint8)))
    assert digits("read one.pdf --show out.png --json")[0] == 0
    assert (here / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("scans --show out.png", "--show draws over one picture, and these are 5: name one"),
        (
            "scans/d.pdf --show out.png",
            "--show draws over one picture, and these are 2: choose one by --page",
        ),
        ("scans/a.png --show out.gif", "cannot write out.gif: name a file that ends in .jpeg, .jpg, .png"),
        ("scans/a.png --show out", "cannot write out: name a file that ends in .jpeg, .jpg, .png"),
        ("scans/a.png --show no/o.png", "cannot write no/o.png: No such file or directory"),
        ("scans/a.png --show ./scans/a.png", "scans/a.png is to be read: name another file to write"),
        ("scans --csv scans/b.jpg", "scans/b.jpg is to be read: name another file to write"),
    ],
)
@pytest.mark.usefixtures("scans")
def test_a_drawing_that_cannot_be_made_is_refused(words, sentence, digits):
    assert digits(f"read {words}") == (2, "", f"digits: {sentence}\n")


# Terminals, pipes and processes


def test_a_terminal_gets_a_bar_that_goes_away(digits, scans, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then takes the output for a terminal
    status, output, errors = digits(f"read {scans}")
    assert status == 2
    assert output.count("\n") == 4
    assert "Reading" in errors
    assert "5/5" in errors


def test_one_picture_needs_no_bar(digits, here, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    draw(here / "a.png", 30)
    assert digits("read a.png") == (0, "7\n", "")


def spawn(words: str, folder: Path, **streams) -> subprocess.CompletedProcess:
    """Run a command in a process of its own."""
    arguments = [sys.executable, "-m", "digit_recognizer", *shlex.split(words)]
    return subprocess.run(arguments, cwd=folder, check=False, encoding="utf-8", **streams)


def test_rows_may_go_through_a_pipe_and_are_alone_there(tmp_path):
    Image.fromarray(written("472")).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    ended = spawn("read a.png b.png --csv /dev/stdout", tmp_path, capture_output=True)
    assert ended.returncode == 2
    header, row = csv.reader(ended.stdout.splitlines())
    assert (header, row[:4]) == (COLUMNS, ["a.png", "", "1", "472"])
    assert ended.stderr.startswith("digits: b.png is not a picture")


def test_the_bar_on_a_terminal_leaves_the_text_in_a_file_alone(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("L", (20, 20), 255).save(tmp_path / name)
    terminal, stderr = pty.openpty()
    ended = spawn("read a.png b.png", tmp_path, stdout=subprocess.PIPE, stderr=stderr)
    os.close(stderr)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert (ended.returncode, ended.stdout) == (0, "a.png: no digits\nb.png: no digits\n")
    assert "Reading" in shown


def test_a_link_to_a_picture_that_is_read_is_not_written(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("form.png").write_bytes(encoded(written("12"), "PNG"))
    Path("link.png").symlink_to("form.png")
    for option in ("--csv", "--show"):
        status, _, errors = digits(f"read form.png {option} link.png")
        assert status == 2
        assert "link.png is to be read: name another file to write" in errors
    with Image.open("form.png") as image:
        assert image.format == "PNG"


def test_table_and_drawing_are_two_files(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("form.png").write_bytes(encoded(written("12"), "PNG"))
    status, _, errors = digits("read form.png --csv out.png --show ./out.png")
    assert status == 2
    assert "--show and --csv would both write out.png: name two files" in errors
    assert not Path("out.png").exists()
