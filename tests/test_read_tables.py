"""Folders of tables of `digits read`: parts, resuming, CSV and Parquet; and what is refused."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from digit_recognizer import recognition
from digit_recognizer.cli.read import parts
from digit_recognizer.imaging import Picture, decode
from digit_recognizer.reading import Box, Line, Reading, RejectedMark, SingleDigit
from digit_recognizer.runs.run import lock_folder
from helpers import assert_refused, says
from pictures import pdf_of
from test_read_command import draw, number

GREYS = {10: (), 20: (("2026", "17"), ("42",)), 30: (("7",),), 50: None}  # what a page of a shade says
INTERRUPTED = 40

decoded: list[str] = []  # the names of the files that were read


class Reader:
    """A recognizer that reads the shade of a page, and notes what it reads."""

    def __init__(self, _model: Path | None) -> None:
        self.path = Path(__file__)  # stands for the model's file

    def read(self, picture: Picture, *, page: int = 1) -> Reading:
        grey = int(decode(picture, page=page)[0, 0])
        if grey == INTERRUPTED:
            raise KeyboardInterrupt
        decoded.append(Path(str(picture)).name)
        lines = GREYS[grey]
        if lines is None:
            return Reading((), (RejectedMark(Box(1, 2, 3, 4), "too small"),))
        return Reading(
            tuple(Line(tuple(number(text, 40 * x) for x, text in enumerate(line))) for line in lines)
        )

    def read_single(self, _picture: Picture, _threshold: float, *, page: int = 1) -> SingleDigit:  # noqa: ARG002
        return SingleDigit(7, 0.6, (0.1,) * 10)


@pytest.fixture
def digits(run_command, tmp_path, monkeypatch) -> Callable[[str], tuple[int, str, str]]:
    """Return a function that runs a command in this process, with a recognizer that takes no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recognition, "Recognizer", Reader)
    decoded.clear()
    return run_command


@pytest.fixture
def scans(tmp_path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, grey in (("a", 20), ("c", 10), ("d", 30), ("e", 30)):
        draw(folder / f"{name}.png", grey)
    (folder / "b.jpg").write_bytes(b"none")
    (folder / "f.pdf").write_bytes(pdf_of(np.full((16, 16), 30, np.uint8), np.full((16, 16), 20, np.uint8)))
    return folder


def lines_of(table: Path) -> list[list[str]]:
    """Return the lines of a CSV file without its header."""
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return list(csv.reader(stream))[1:]


def rows(folder: str = "out") -> list[list[str]]:
    """Return the rows of all parts, in their order."""
    return [row for part in sorted(Path(folder).glob("part-*.csv")) for row in lines_of(part)]


def pages(folder: str = "out") -> list[tuple[str, str, str, bool]]:
    """Return file, page, number of numbers and whether there is an error, of each line of the pages."""
    lines = [line for part in sorted(Path(folder, "_pages").glob("part-*.csv")) for line in lines_of(part)]
    return [(Path(file).name, page, numbers, bool(error)) for file, page, numbers, error in lines]


@pytest.mark.usefixtures("scans")
def test_a_folder_of_tables_has_the_rows_of_the_table(digits):
    digits("read scans --csv one.csv")
    status, output, errors = digits("read scans --csv out/")
    assert (status, output.count("\n"), errors.count("\n")) == (2, 1, 1)
    assert says(output, "Read 6 pages in", ": 9 numbers in out.", "1 page could not be read", "same command")
    assert says(errors, "scans/b.jpg")
    assert (Path("out/part-00000.csv").read_bytes()) == Path("one.csv").read_bytes()
    assert pages() == [
        ("a.png", "", "3", False),
        ("b.jpg", "", "0", True),
        ("c.png", "", "0", False),
        ("d.png", "", "1", False),
        ("e.png", "", "1", False),
        ("f.pdf", "1", "1", False),
        ("f.pdf", "2", "3", False),
    ]


@pytest.mark.usefixtures("scans")
def test_what_is_written_is_not_read_again_and_what_is_new_or_repaired_is(digits, scans):
    digits("read scans --csv out/")
    whole, listed = rows(), pages()
    decoded.clear()
    status, output, _ = digits("read scans --csv out")
    assert (status, decoded, rows(), pages()) == (2, [], whole, listed)
    assert says(output, "Read 0 pages", "after 6 that were read before: 9 numbers in out")
    draw(scans / "b.png", 30)
    shutil.move(scans / "b.png", scans / "b.jpg")
    draw(scans / "aa.png", 30)
    status, output, errors = digits("read scans --csv out/")
    assert (status, errors, sorted(decoded)) == (0, "", ["aa.png", "b.jpg"])
    assert says(output, "Read 2 pages", "after 6", ": 11 numbers")
    assert rows()[: len(whole)] == whole
    assert [row[0] for row in rows()[len(whole) :]] == ["scans/aa.png", "scans/b.jpg"]
    decoded.clear()
    assert digits("read scans --csv out/")[0] == 0
    assert decoded == []


@pytest.mark.usefixtures("scans")
def test_parts_are_limited_and_follow_each_other(digits, monkeypatch):
    digits("read scans --csv whole/")
    monkeypatch.setattr(parts, "PART_PAGES", 2)
    digits("read scans --csv out/")
    assert len(list(Path("out").glob("part-*.csv"))) == len(list(Path("out/_pages").glob("part-*.csv"))) == 3
    assert rows() == rows("whole")
    assert pages() == pages("whole")
    monkeypatch.setattr(parts, "PART_SECONDS", -1.0)  # always over
    digits("read scans --csv seconds/")
    assert len(list(Path("seconds").glob("part-*.csv"))) == 6
    assert rows("seconds") == rows("whole")


@pytest.mark.usefixtures("scans")
def test_ctrl_c_keeps_what_is_read_and_the_same_command_reads_the_rest(digits, scans):
    draw(scans / "d.png", INTERRUPTED)
    status, output, errors = digits("read scans --csv out/")
    assert (status, output, len(rows())) == (130, "", 3)
    assert says(errors, "Stopped: the same command reads the rest.")
    draw(scans / "d.png", 30)
    decoded.clear()
    digits("read scans --csv out/")
    assert decoded == ["d.png", "e.png", "f.pdf", "f.pdf"]
    digits("read scans --csv whole/")
    assert rows() == rows("whole")


@pytest.mark.usefixtures("scans")
def test_rows_without_their_pages_do_not_count(digits):
    """A process that is killed may leave a part, and files that are half written."""
    digits("read scans --csv out/")
    whole = rows()
    Path("out/_pages/part-00000.csv").unlink()
    Path("out/.part-00001.csv.77.part").write_text("half")
    Path("out/_pages/.part-00000.csv.77.part").write_text("half")
    digits("read scans --csv out/")
    assert rows() == whole
    assert not list(Path("out").rglob("*.part"))


@pytest.mark.usefixtures("scans")
def test_a_damaged_page_is_tried_again_and_the_others_of_its_file_are_not_doubled(digits, monkeypatch):
    read = Reader.read
    with monkeypatch.context() as patched:
        patched.setattr(
            Reader, "read", lambda self, picture, page=1: read(self, picture if page == 1 else b"", page=page)
        )
        assert digits("read scans/f.pdf --csv out/")[0] == 2
    assert pages() == [("f.pdf", "1", "1", False), ("f.pdf", "2", "0", True)]
    assert digits("read scans/f.pdf --csv out/")[0] == 0
    assert [row[1] for row in rows()] == ["1", "2", "2", "2"]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("scans --page 2", ["2026", "17", "42"]),
        ("scans --single", ["7"] * 7),
        ("scans --digits 2", ["26", "17", "42", "7", "7", "7", "26", "17", "42"]),
        ("scans/d.png scans/a.png scans/d.png", ["7", "2026", "17", "42"]),
    ],
)
@pytest.mark.usefixtures("scans")
def test_options_mean_the_same_as_for_a_table(words, texts, digits):
    digits(f"read {words} --csv one.csv")
    digits(f"read {words} --csv out/")
    assert rows() == lines_of(Path("one.csv"))
    assert "--digits" in words or [row[3] for row in rows()] == texts


@pytest.mark.usefixtures("scans")
def test_parquet_has_the_rows_of_a_csv_with_their_types(digits):
    digits("read scans --csv one.csv")
    digits("read scans --parquet one.parquet")
    digits("read scans --parquet out/")
    table = pq.read_table("one.parquet")
    assert pq.read_table("out/part-00000.parquet").equals(table)
    assert pq.read_table("out").equals(table)  # what starts with "_" is left out
    assert table.column_names == Path("one.csv").read_text().splitlines()[0].split(",")
    assert table.to_pylist()[0] == {
        "picture": "scans/a.png",
        "page": None,
        "line": 1,
        "text": "2026",
        "confidence": 0.6561,
        "x": 0,
        "y": 5,
        "width": 19,
        "height": 8,
        "value": "2026",
        "sure": True,
        "row": 1,
        "column": 1,
    }
    shown = [["" if value is None else value for value in row.values()] for row in table.to_pylist()]
    assert [[str(value) for value in row[:4]] for row in shown] == [
        row[:4] for row in lines_of(Path("one.csv"))
    ]
    digits("read scans/c.png --parquet none.parquet")
    assert pq.read_table("none.parquet").schema == table.schema


def test_names_that_are_not_utf8_are_known_again(digits, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    draw(folder / "a\n\udcff.png", 30)
    assert digits("read scans --csv out/")[0] == 0
    decoded.clear()
    assert digits("read scans --csv out/")[0] == 0
    assert decoded == []
    assert digits("read scans --parquet one.parquet")[0] == 0
    assert pq.read_table("one.parquet")["picture"].to_pylist() == ["scans/a\n\\udcff.png"]


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("--csv scans", ["scans", "other files", "new folder"]),
        ("--csv full/", ["full", "other files", "new folder"]),
        ("--csv out/ --threshold 0.5", ["out", "another threshold", "new folder"]),
        ("--csv out/ --single --threshold 0.5", ["another single and another threshold"]),
        ("--csv out/ --pattern d", ["another pattern"]),
        ("--parquet out/", ["another table"]),
        ("--csv a.csv --parquet b.parquet", ["--csv", "--parquet", "remove one"]),
        ("--csv out/ --table", ["--table", "CSV file"]),
        ("--parquet one.parquet --table", ["--table", "CSV file"]),
        ("--parquet -", ["--parquet", "name a file"]),
        ("--csv one.csv/", ["one.csv", "Not a directory"]),
        ("--parquet none/one.parquet", ["no folder none", "create it first"]),
        ("--page 9 --csv new/", ["page 9"]),
    ],
)
def test_what_does_not_go_together_is_refused(words, facts, digits):
    digits("read scans/a.png --csv out/")
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    Path("one.csv").touch()
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("part-*")}
    ended = digits(f"read scans/a.png {words}")
    assert ended[0] == 2
    assert says(ended[2].splitlines()[-1], *facts)
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("part-*")} == before


@pytest.mark.usefixtures("scans")
def test_a_damaged_or_used_folder_is_refused(digits):
    digits("read scans/a.png --csv out/")
    with lock_folder(Path("out")):
        assert_refused(digits("read scans/a.png --csv out/"), "another process", "reading", "out")
    Path("out/_pages/part-00000.csv").write_text("picture,page,numbers,error\nscans/a.png,,many,\n")
    assert_refused(digits("read scans/a.png --csv out/"), "out/_pages/part-00000.csv", "damaged", "many")
    Path("out/_pages/settings.json").write_text("{")
    assert_refused(digits("read scans/a.png --csv out/"), "out/_pages/settings.json", "damaged")


@pytest.mark.usefixtures("scans")
def test_strict_and_json_work_with_a_folder(digits, scans):
    draw(scans / "a.png", 50)
    status, output, errors = digits("read scans/a.png scans/d.png --csv out/ --json --strict")
    assert (status, errors) == (1, "")
    assert output.count('"picture"') == output.count("\n") == 2


@pytest.mark.usefixtures("scans")
def test_ray_is_asked_for_by_name(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = digits("read scans --engine ray --csv out/")
    assert_refused(ended, "ray is missing", 'pip install "digit-recognizer[ray]"')
    assert not Path("out").exists()
    assert digits("read scans/a.png --engine rays")[0] == 2
    assert says(digits("read s3://bucket/a.png")[2], "s3://bucket/a.png", "download")
