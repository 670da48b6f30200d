"""The command `digits read`: text, JSON, CSV and drawings of pictures; and pictures that are none."""

from __future__ import annotations

import csv
import io
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

from digit_recognizer import recognition
from digit_recognizer.imaging import Picture, decode
from digit_recognizer.reading import (
    Box,
    Line,
    Number,
    ReadDigit,
    Reading,
    RejectedMark,
    SingleDigit,
    interpret,
    number_of,
)
from helpers import assert_refused, says
from pictures import NO_PICTURES, encoded, pdf_of, raw_pdf, written

COLUMNS = ["picture", "page", "line", "text", "confidence", "x", "y", "width", "height"]
NEW_COLUMNS = ["value", "sure", "row", "column"]


def read_digit(digit: int, x: int) -> ReadDigit:
    probabilities = [0.0] * 10
    probabilities[digit] = 1.0
    return ReadDigit(digit, Box(x, 5, 4, 8), tuple(probabilities), 0.9)


def number(text: str, x: int = 0) -> Number:
    digits = (read_digit(int(digit), x + 5 * place) for place, digit in enumerate(text))
    return number_of(digit.as_character() for digit in digits)


READINGS = {
    10: Reading(()),
    20: Reading((Line((number("2026"), number("17", 40))), Line((number("42"),)))),
    30: Reading((Line((number("7"),)),), (RejectedMark(Box(1, 2, 3, 4), "not a digit"),)),
}  # by the grey of the page
INTERRUPTED = 40


class Reader:
    """A recognizer that reads the shade of a page."""

    def __init__(self, model: Path | None) -> None:
        assert model is None

    def read(self, picture: Picture, *, page: int = 1) -> Reading:
        return self.read_page(decode(picture, page=page))

    def read_page(self, page: np.ndarray) -> Reading:
        grey = int(page[0, 0])
        if grey == INTERRUPTED:
            raise KeyboardInterrupt
        return READINGS[grey]

    def read_single(self, picture: Picture, threshold: float, *, page: int = 1) -> SingleDigit:
        is_given = threshold <= 0.6 and decode(picture, page=page)[0, 0] == 30
        return SingleDigit(7 if is_given else None, 0.6, (0.1,) * 10)


def draw(path: Path, grey: int, size: int = 16) -> Path:
    Image.new("L", (size, size), grey).save(path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder as the current one, and a recognizer that takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recognition, "Recognizer", Reader)
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


# Text


@pytest.mark.parametrize(("grey", "text"), [(20, "2026 17\n42\n"), (30, "7\n"), (10, "no digits\n")])
def test_of_one_picture_the_text_is_printed_line_by_line(grey, text, digits, here):
    draw(here / "a.png", grey)
    assert digits("read a.png") == (0, text, "")


@pytest.mark.usefixtures("scans")
def test_of_many_pictures_each_has_a_line_and_a_bad_one_does_not_stop_the_rest(digits):
    status, output, errors = digits("read scans")
    assert (status, output, errors.count("\n")) == (2, LINES, 1)
    assert says(errors, "scans/b.jpg", "PNG, JPEG, WebP, BMP, GIF, TIFF")


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


def closed(folder: Path) -> None:
    raise PermissionError(13, "Permission denied", str(folder))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("empty", ["empty", ".bmp, .gif, .heic"]),
        ("closed", ["closed", "Permission denied"]),
        ("none.png", ["none.png", "No such file or directory"]),
        ("/dev/zero", ["/dev/zero", "device"]),
        (f"{'x' * 300}.png", ["xxx.png", "File name too long"]),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_does_not_stop_the_other_pictures(
    name, facts, digits, here, monkeypatch
):
    draw(here / "a.png", 30)
    for folder in ("empty", "closed"):
        (here / folder).mkdir()
    (here / "empty/notes.txt").write_text("7")
    if name == "closed":
        monkeypatch.setattr(Path, "iterdir", closed)
    assert_refused(digits(f"read {name}"), *facts)
    status, output, errors = digits(f"read {name} a.png")
    assert (status, output, errors.count("\n")) == (2, "a.png: 7\n", 1)
    assert says(errors, *facts)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\n\x1b[31mb.png", "a\\n\\x1b[31mb.png"), (os.fsdecode(b"\xff7.png"), "\\udcff7.png")],
)
def test_a_name_stays_on_its_line_and_gives_the_terminal_no_orders(name, shown, digits, here):
    draw(here / name, 30)
    (here / "\x1b[31mnone.png").write_bytes(b"none")
    status, output, errors = digits("read . --csv out.csv")
    assert (status, output, errors.count("\n")) == (2, f"{shown}: 7\n", 1)
    assert says(errors, "\\x1b[31mnone.png")
    assert json.loads(digits("read . --json")[1].splitlines()[1])["picture"] == name
    assert name.encode("utf-8", "backslashreplace") in (here / "out.csv").read_bytes()


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(("number", "output"), [(1, "7\n"), (2, "2026 17\n42\n")])
def test_a_page_of_a_pdf_is_read_and_drawn_alone(number, output, digits, here):
    assert digits(f"read scans/d.pdf --page {number} --show out.png") == (0, output, "")
    assert (here / "out.png").exists()


@pytest.mark.parametrize("what", NO_PICTURES)
@pytest.mark.parametrize("option", ["", "--single", "--show out.png", "--csv out.csv"])
def test_a_file_that_is_no_picture_is_one_sentence(what, option, digits, here):
    content, complaint = NO_PICTURES[what]
    (here / "seven.png").write_bytes(content)
    assert_refused(digits(f"read seven.png {option}"), complaint)
    assert not (here / "out.png").exists()


def test_a_damaged_page_does_not_stop_the_other_pages(digits, here):
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>"
    grey = "<</Length 34>>stream\n0.0784313725 g 0 0 9 9 re f        \nendstream"
    (here / "form.pdf").write_bytes(raw_pdf("/Kids[9 0 R 3 0 R]/Count 2", page, grey))
    status, output, errors = digits("read form.pdf")
    assert (status, output) == (2, "form.pdf, page 2: 2026 17 / 42\n")
    assert says(errors, "form.pdf", "page 1")


@pytest.mark.parametrize(
    ("option", "text"), [("", "7"), ("--threshold 0.6", "7"), ("--threshold 0.61", "not sure")]
)
def test_a_single_digit_is_given_from_the_threshold_on(option, text, digits, here):
    draw(here / "a.png", 30)
    assert digits(f"read a.png --single {option}") == (0, f"{text}\n", "")


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("'' scans/a.png", ["name"]),
        ("scans --page 3", ["3", "1 to 2"]),
        ("scans/a.png --table --single", ["--table", "--single"]),
        ("scans/a.png --pattern d --single", ["--single", "numbers"]),
        ("scans/a.png --pattern d --digits 2", ["--pattern", "--digits"]),
        ("scans/a.png --pattern dx", ["'x' at place 2", "?, *, {n} or {n,m}"]),
        ("scans/a.png --pattern 'd{3,2}'", ["3 to 2 times"]),
        ("scans/a.png --values none.txt", ["none.txt", "No such file"]),
        ("scans/a.png --json --csv", ["--json", "--csv", "name a file"]),
        ("scans/a.png --json --show -", ["--json", "--show", "name a file"]),
        ("scans/a.png --csv - --show -", ["--csv", "--show", "name a file"]),
        ("scans/a.png --table --csv - --show -", ["--csv", "--show", "name a file"]),
        ("scans/a.png --table --show -", ["--table", "--show", "name a file"]),
        ("scans --show -", ["--show", "5"]),
        ("scans/a.png --single --show out.png", ["--show", "--single"]),
        ("scans --show out.png", ["--show", "5"]),
        ("scans/d.pdf --show out.png", ["--show", "2", "--page"]),
        ("scans/a.png --show out.gif", ["out.gif", ".jpeg, .jpg, .png"]),
        ("scans/a.png --show out", ["out", ".jpeg, .jpg, .png"]),
        ("scans/a.png --show no/o.png", ["no/o.png", "no folder no", "create it first"]),
        ("scans/a.png --show ./scans/a.png", ["scans/a.png"]),
        ("scans/a.png --show link.png", ["link.png"]),
        ("scans/a.png --csv link.png", ["link.png"]),
        ("scans --csv scans/b.jpg", ["scans/b.jpg"]),
        ("scans/a.png --csv out.png --show ./out.png", ["--show", "--csv", "out.png"]),
        ("scans --csv none/out.csv", ["none/out.csv", "no folder none", "create it first"]),
        ("scans --csv scans", ["scans", "other files"]),
    ],
)
def test_what_cannot_be_written_or_does_not_go_together_is_refused(words, facts, digits, scans):
    (scans.parent / "link.png").symlink_to("scans/a.png")
    before = {path: path.lstat().st_mtime_ns for path in scans.parent.rglob("*")}
    assert_refused(digits(f"read {words}"), *facts)
    assert {path: path.lstat().st_mtime_ns for path in scans.parent.rglob("*")} == before


# JSON


@pytest.mark.usefixtures("scans")
def test_json_has_an_object_a_page_on_a_line_of_its_own(digits):
    status, output, errors = digits("read scans --json")
    assert (status, errors) == (2, "")
    first, bad, blank, *pages = map(json.loads, output.splitlines())
    assert first == {"picture": "scans/a.png", **json.loads(json.dumps(interpret(READINGS[20]).as_dict()))}
    assert (bad.keys(), bad["picture"]) == ({"picture", "error"}, "scans/b.jpg")
    assert blank == {"picture": "scans/c.PNG", **json.loads(json.dumps(Reading(()).as_dict()))}
    assert [(each["picture"], each["page"], each["text"]) for each in pages] == [
        ("scans/d.pdf", 1, "7"),
        ("scans/d.pdf", 2, "2026 17\n42"),
    ]
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    assert pages[0]["rejected"] == [{**box, "reason": "not a digit", "text": None, "confidence": None}]


@pytest.mark.parametrize(("option", "digit"), [("", 7), ("--threshold 0.9", None)])
def test_json_of_a_single_digit_has_null_where_it_is_not_sure(option, digit, digits, here):
    draw(here / "a.png", 30)
    found = json.loads(digits(f"read a.png --single --json {option}")[1])
    assert found == {"picture": "a.png", "digit": digit, "confidence": 0.6, "probabilities": [0.1] * 10}


# CSV


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text("utf-8").splitlines()))


@pytest.mark.usefixtures("scans")
def test_a_csv_has_a_row_a_number(digits, here):
    assert digits("read scans --csv out.csv")[1] == LINES
    header, *numbers = rows(here / "out.csv")
    assert header == [*COLUMNS, *NEW_COLUMNS]
    assert [row[9:] for row in numbers[:3]] == [
        ["2026", "1", "1", "1"],
        ["17", "1", "1", "2"],
        ["42", "1", "2", "1"],
    ]
    assert [row[:9] for row in numbers] == [
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


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("scans/a.png --table", "2026  17\n  42\n"),
        ("scans/a.png --csv", "2026,17\n42,\n"),
        ("scans/a.png --csv -", "2026,17\n42,\n"),
        ("scans/a.png --threshold 0.7", "2026? 17\n42\n"),
        ("scans/a.png --digits 2", "26 17\n42\n"),
        ("scans/a.png --pattern 'd{4}' --threshold 0.5", "2026 17?\n42?\n"),
        ("scans/a.png --values values.txt", "2026 17\n42?\n"),
    ],
)
def test_numbers_are_printed_as_a_grid_and_uncertain_ones_with_a_question_mark(words, output, digits, here):
    (here / "values.txt").write_text("17\n\n2026\n")
    status, printed, errors = digits(f"read {words}")
    assert (status, errors) == (0, "")
    assert printed == output


@pytest.mark.parametrize(("option", "status"), [("", 0), ("--strict", 1)])
def test_rejected_marks_do_not_disappear_silently(option, status, digits, here, monkeypatch):
    draw(here / "a.png", 50)
    monkeypatch.setitem(READINGS, 50, Reading((), (RejectedMark(Box(1, 2, 3, 4), "too small"),) * 22))
    ended = digits(f"read a.png {option}")
    assert ended == (status, "no digits\n", "no digits; 22 marks were rejected, see --show\n")


# Standard input and output


class Input(io.TextIOWrapper):
    """Standard input with some content, perhaps of a terminal."""

    def __init__(self, content: bytes, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self.isatty = lambda: is_terminal  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("content", "words", "output"),
    [
        (encoded(Image.new("L", (16, 16), 20), "PNG"), "-", "2026 17\n42\n"),
        (encoded(Image.new("L", (16, 16), 20), "PNG"), "- -", "2026 17\n42\n"),
        (encoded(Image.new("L", (16, 16), 20), "PNG"), "- --csv -", "2026,17\n42,\n"),
        (encoded(Image.new("L", (16, 16), 30), "PNG"), "- --single", "7\n"),
        (encoded(Image.new("L", (16, 16), 30), "PNG"), "- a.png", "-: 7\na.png: 2026 17 / 42\n"),
        (
            pdf_of(np.full((16, 16), 30, np.uint8), np.full((16, 16), 20, np.uint8)),
            "-",
            "-, page 1: 7\n-, page 2: 2026 17 / 42\n",
        ),
        (pdf_of(np.full((16, 16), 30, np.uint8), np.full((16, 16), 20, np.uint8)), "- --page 1", "7\n"),
    ],
)
def test_standard_input_is_read_once(content, words, output, digits, here, monkeypatch):
    draw(here / "a.png", 20)
    monkeypatch.setattr(sys, "stdin", Input(content))
    assert digits(f"read {words}") == (0, output, "")


def test_standard_input_has_a_name_in_json(digits, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Input(encoded(Image.new("L", (16, 16), 30), "PNG")))
    found = json.loads(digits("read - --json")[1])
    assert (found["picture"], found["text"]) == ("-", "7")


@pytest.mark.parametrize(
    ("stdin", "facts"),
    [
        ((b"", False), ["standard input", "expected PNG"]),
        ((b"%PDF-1.7", False), ["standard input", "damaged"]),
        ((b"", True), ["standard input", "terminal", "digits read - <"]),
        (None, ["standard input", "closed"]),
    ],
)
@pytest.mark.parametrize("option", ["", "--single", "--show out.png"])
def test_what_standard_input_lacks_is_one_sentence(stdin, facts, option, digits, here, monkeypatch):
    draw(here / "a.png", 30)
    monkeypatch.setattr(sys, "stdin", stdin and Input(*stdin))
    assert_refused(digits(f"read - {option}"), *facts)
    if not option:
        assert digits("read - a.png")[:2] == (2, "a.png: 7\n")


def test_a_drawing_on_standard_output_is_alone_there(tmp_path):
    picture = encoded(written("472"), "PNG")
    (tmp_path / "a.png").write_bytes(picture)
    for words in ("a.png --show -", "a.png --show /dev/stdout", "- --show - --csv rows.csv"):
        ended = spawn_bytes(f"read {words}", tmp_path, picture)
        assert (ended.returncode, ended.stderr) == (0, b"")
        with Image.open(io.BytesIO(ended.stdout)) as drawn:
            assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", written("472").shape[::-1])
    assert rows(tmp_path / "rows.csv")[1][:4] == ["-", "", "1", "472"]


def test_a_picture_is_not_written_to_a_terminal(digits, here, monkeypatch):
    draw(here / "a.png", 30)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert_refused(digits("read a.png --show -"), "--show", "terminal", "> out.png")


def test_a_table_that_goes_elsewhere_leaves_the_text_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(written("472"), "PNG"))
    ended = spawn("read a.png --csv /dev/stderr", tmp_path, capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, "472\n")
    with (tmp_path / "out.csv").open("w") as stream:  # the same file, by redirection
        ended = spawn("read a.png --csv out.csv", tmp_path, stdout=stream)
    assert ended.returncode == 0
    assert [row[3] for row in rows(tmp_path / "out.csv")] == ["text", "472"]


def spawn_bytes(words: str, folder: Path, stdin: bytes) -> subprocess.CompletedProcess:
    """Run a command in a process of its own, with bytes as standard input and output."""
    arguments = [sys.executable, "-m", "digit_recognizer", *shlex.split(words)]
    return subprocess.run(arguments, cwd=folder, check=False, capture_output=True, input=stdin)


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
    assert (header[:9], row[:4]) == (COLUMNS, ["a.png", "", "1", "472"])
    assert says(ended.stderr, "digits: b.png")


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
