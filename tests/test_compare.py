"""The comparison with other programs: its pictures, its scores and its table; only this package is run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import _compare_child
import compare
from _bench import BenchmarkError
from _real_pictures import LabelledPicture
from pictures import written

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks/compare.json"


def test_the_table_shown_is_that_of_the_measurement():
    table = compare.table(json.loads(REPORT.read_text("utf-8")))
    assert table in (ROOT / "docs/compare.md").read_text("utf-8")


def test_the_measurement_has_the_same_hundred_pictures_with_digits_for_all():
    report = json.loads(REPORT.read_text("utf-8"))
    assert sum(report["pictures"][kind] for kind in compare.WITH_DIGITS) == 100
    assert set(report["programs"]) == set(compare.PROGRAMS)
    for name, program in report["programs"].items():
        asked = [kind for kind in compare.KINDS if compare.PROGRAMS[name].reads(kind)]
        read = {kind: len(each["told nothing"]) for kind, each in program["kinds"].items()}
        assert read == dict.fromkeys(asked, compare.PICTURES_OF_A_KIND)


def test_a_report_takes_up_further_programs_and_kinds():
    def report(kind: str, **programs: str) -> dict:
        kinds = {
            name: {"version": "1", "kinds": {kind: {"told nothing": right}}}
            for name, right in programs.items()
        }
        return {"turns": 1, "pictures": {kind: 2}, "programs": kinds}

    whole = compare.added(report("photos", easyocr="01", keras="11"), report("cells", easyocr="10"))
    assert whole["pictures"] == {"photos": 2, "cells": 2}
    assert {name: list(each["kinds"]) for name, each in whole["programs"].items()} == {
        "easyocr": ["photos", "cells"],
        "keras": ["photos"],
    }


@pytest.mark.parametrize(
    ("folder", "label", "text", "right"),
    [
        ("cells", "13,5", "13.5", True),
        ("cells", "13,5", "135", True),
        ("cells", "13,5", "13", False),
        ("cheques", "1439", "1.439.\n", True),
        ("cheques", "1439", "1439\n7", False),
        ("rows", "26", "No 26. Jens 1844", True),
        ("rows", "26", "1844 26", False),
        ("not-digits", "", "", True),
        ("not-digits", "", "ab", True),
        ("not-digits", "", "a6", False),
    ],
)
def test_a_picture_is_right_if_its_digits_are_read(folder, label, text, right):
    picture = LabelledPicture(Path("1.png"), f"{folder}/1.png", label)
    assert compare.is_right(text, picture) is right


def listed(folder: Path, lines: list[str]) -> list[Path]:
    (folder / "labels.csv").write_text("file,label,part\n" + "\n".join(lines), "utf-8")
    return [folder]


def test_pictures_are_taken_at_equal_distances_from_the_part_that_is_measured(tmp_path):
    lines = [f"cells/{number}.png,7,{'validation' if number % 2 else 'train'}" for number in range(80)]
    names = [picture.name for picture in compare.chosen("cells", listed(tmp_path, lines))]
    assert names == [f"cells/{number}.png" for number in range(1, 80, 4)]


def test_too_few_pictures_are_refused(tmp_path):
    folders = listed(tmp_path, ["photos/1.png,7,"])
    with pytest.raises(BenchmarkError, match=r"^photos: expected at least 20 pictures, found 1$"):
        compare.chosen("photos", folders)


@pytest.mark.parametrize("background", [230, 20])
def test_the_ink_of_a_digit_is_centred_by_its_mass(background, tmp_path):
    page = np.full((120, 90), background, np.uint8)
    page[10:70, 60:80] = 255 - background
    Image.fromarray(page).save(tmp_path / "digit.png")
    image = _compare_child.centred(str(tmp_path / "digit.png"))
    assert image.shape == (28, 28)
    rows, columns = np.nonzero(image)
    assert np.ptp(rows) + 1 == 20
    assert rows.mean() == pytest.approx(13.5, abs=0.6)
    assert columns.mean() == pytest.approx(13.5, abs=0.6)


def test_a_program_reads_in_a_process_of_its_own(tmp_path):
    Image.fromarray(written("42")).save(tmp_path / "42.png")
    picture = LabelledPicture(tmp_path / "42.png", "cells/42.png", "42")
    with compare.at_work(Path(sys.executable), compare.OWN) as child:
        answer = child.read(picture, "page")
    assert compare.is_right(answer["text"], picture)
    assert answer["seconds"] > 0
