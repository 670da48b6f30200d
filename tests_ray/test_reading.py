"""`digits read --engine ray`: the same rows, text and errors as without it, also if processes are killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from conftest import workers_of
from helpers import assert_refused, says
from pictures import pdf_of, written

PICTURES = 24
IN_PARTS = """
import sys
from digit_recognizer.cli import main
from digit_recognizer.cli.read import parts
parts.PART_PAGES = 4
sys.argv = ["digits", *sys.argv[1:]]
main()
"""  # a command that writes a part after every four pages


@pytest.fixture
def scans(tmp_path, monkeypatch) -> Path:
    """A folder with small pictures, a PDF of two pages, and a file that is no picture."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(PICTURES):
        Image.fromarray(written(f"{number} {37 * number}")).save(folder / f"{number:02}.png")
    (folder / "bad.jpg").write_bytes(b"none")
    (folder / "form.pdf").write_bytes(pdf_of(written("17"), written("42")))
    return folder


def rows(folder: Path) -> list[list[str]]:
    """Return the rows of a folder of tables, in the order of its parts, without headers."""
    return [
        row
        for part in sorted(folder.glob("part-*.csv"))
        for row in list(csv.reader(part.read_text("utf-8").splitlines()))[1:]
    ]


@pytest.mark.usefixtures("scans", "address")
def test_everything_is_written_and_printed_as_without_ray(digits):
    for words in ("--json", "--csv table.csv", "--single", "--pattern 'd{1,3}' --threshold 0.9"):
        here = digits(f"read scans {words}")
        table = Path("table.csv").read_bytes() if "--csv" in words else b""
        there = digits(f"read scans {words} --engine ray")
        assert there[:2] == here[:2]
        assert set(there[2].splitlines()) - set(here[2].splitlines()) == {
            f"Note: Ray runs at {os.environ['RAY_ADDRESS']}, on 2 nodes with 2 processors."
        }
        assert not table or Path("table.csv").read_bytes() == table


@pytest.mark.usefixtures("scans", "address")
def test_folders_of_tables_are_the_same_as_without_ray(digits):
    expected = f"Read {PICTURES + 2} pages in "
    status, output, errors = digits("read scans --csv here/")
    assert (status, errors.count("\n")) == (2, 1)
    assert says(output, expected, "1 page could not be read")
    status, output, errors = digits("read scans --engine ray --csv there/")
    assert status == 2
    assert says(output, expected)
    assert says(errors, "scans/bad.jpg is not a picture")
    digits("read scans --engine ray --parquet parquet/")
    assert rows(Path("here")) == rows(Path("there"))
    assert Path("here/_pages/part-00000.csv").read_text() == Path("there/_pages/part-00000.csv").read_text()
    table = pq.read_table("parquet/part-00000.parquet").to_pylist()
    assert [row["text"] for row in table] == [row[3] for row in rows(Path("here"))]


@pytest.mark.usefixtures("address")
def test_what_fsspec_names_has_the_same_rows(digits, scans):
    digits("read scans --csv here/")
    status, output, errors = digits(f"read file://{scans} file://{scans}/none.png --engine ray --csv there/")
    assert status == 2
    assert says(output, "2 pages could not be read")
    assert says(errors, f"file://{scans}/bad.jpg is not a picture", f"file://{scans}/none.png: No such file")
    here, there = rows(Path("here")), rows(Path("there"))
    assert [row[1:] for row in there] == [row[1:] for row in here]
    assert [row[0] for row in there] == [f"file://{scans.parent}/{row[0]}" for row in here]
    assert says(digits("read nonsense://a/b.png --engine ray")[2], "nonsense://a/b.png", "nonsense")


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IN_PARTS, "read", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def many(scans) -> Path:
    """More pictures, so that there is a middle."""
    for number in range(160):
        Image.fromarray(np.hstack([written(f"{number}")] * 3)).save(scans / f"m{number:03}.png")
    return scans


@pytest.mark.usefixtures("many", "address")
def test_a_worker_killed_with_sigkill_loses_no_row(cluster, digits):
    started = start("scans", "--engine", "ray", "--csv", "out/")
    wait_for(lambda: list(Path("out").glob("part-*")))
    workers = workers_of(cluster, "MapWorker")
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    output, errors = started.communicate(timeout=300)
    assert started.returncode == 2, errors
    assert says(output, f"Read {PICTURES + 162} pages")
    digits("read scans --csv here/")
    assert rows(Path("out")) == rows(Path("here"))


@pytest.mark.usefixtures("many", "address")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_was_ended_resumes_and_reads_nothing_twice(ending, digits):
    started = start("scans", "--engine", "ray", "--csv", "out/")
    wait_for(lambda: len(list(Path("out").glob("part-*"))) >= 2)
    started.send_signal(ending)
    _, errors = started.communicate(timeout=120)
    if ending == signal.SIGINT:
        assert started.returncode == 130, errors
        assert says(errors, "Stopped: the same command reads the rest.")
    before = {part: part.read_bytes() for part in Path("out/_pages").glob("part-*")}
    done = sum(content.count(b".png,") for content in before.values())
    assert 0 < done < PICTURES + 160
    status, output, errors = digits("read scans --engine ray --csv out/")
    assert status == 2
    assert says(output, f"Read {PICTURES + 162 - done} pages", f"after {done} that were read before")
    assert {part: part.read_bytes() for part in before} == before
    digits("read scans --csv here/")
    assert rows(Path("out")) == rows(Path("here"))


@pytest.mark.usefixtures("scans", "address")
def test_what_the_machines_do_not_share_is_refused(digits, monkeypatch):
    from digit_recognizer.engines import ray_engine

    here = ray_engine._expected()
    monkeypatch.setattr(ray_engine, "_expected", lambda: here | {"folder": "/"})
    ended = digits("read scans --engine ray --csv out/")
    assert ended[0] == 2
    assert says(ended[2], "has no folder scans", "share")
    assert rows(Path("out")) == []


@pytest.mark.usefixtures("scans")
def test_ray_is_not_started_for_what_is_refused(digits, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nowhere.invalid:6379")
    assert_refused(digits("read scans --engine ray --show out.png"), "--show", "--engine")
    assert_refused(digits("read scans --engine ray --csv scans"), "scans", "other files")
    assert_refused(digits("read scans --engine ray --csv out/"), "nowhere.invalid:6379")
    assert json.loads(Path("out/_pages/settings.json").read_text())["table"] == "csv"
