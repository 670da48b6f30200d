"""Seconds from the command to its first line and to its first step of training, for each kind of source.

    python benchmarks/first_step.py digit-recognizer.zip
    python benchmarks/first_step.py digit-recognizer.zip --beside OTHER/src  # another version, in turns

The sources are made from the competition's archive, all with its 42,000 training images. A run is ended after
its first step. The table is Markdown: medians of the repeats, in seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import cv2
import numpy as np

from digit_recognizer.digits import Digits
from digit_recognizer.sources import load_digits

OWN = Path(__file__).parents[1] / "src"
INVISIBLE = re.compile(rb"\x1b\[[^a-zA-Z]*[a-zA-Z]|\s")  # colours, movements of the cursor, blanks
STEP_SHOWN = b"images/s"
LIMIT_SECONDS = 60
Times = tuple[float, float]  # to the first line, to the first step


def make_sources(archive: Path, folder: Path) -> dict[str, Path | None]:
    """Write the sources into a folder; return each by its kind, None for the bundled digits."""
    digits = load_digits(archive)
    table = folder / "train.csv"
    with ZipFile(archive) as stored:
        table.write_bytes(stored.read("train.csv"))
    header, body = table.read_text().replace("\r\n", "\n").split("\n", 1)
    sources: dict[str, Path | None] = {"nothing named: bundled": None, "train.csv": table, "archive": archive}
    texts = {
        "no header": body,
        "tabs": f"{header}\n{body}".replace(",", "\t"),
        "3.0 for 3": f"{header}\n" + re.sub(r"([,\n])", r".0\1", body),
    }
    for kind, text in texts.items():
        sources[kind] = folder / f"{kind.replace(' ', '-')}.csv"
        sources[kind].write_text(text)
    sources["numpy.savetxt"] = folder / "savetxt.csv"
    cells = np.column_stack([digits.labels, digits.images.reshape(len(digits), -1)])
    written = [f"{number:.18e}" for number in range(256)]  # as numpy.savetxt does, but faster
    rows = (",".join(map(written.__getitem__, row)) for row in cells.tolist())
    sources["numpy.savetxt"].write_text("\n".join([header, *rows, ""]))
    for kind, write in WRITERS.items():
        sources[kind] = write(digits, folder)
    return sources


def write_idx(digits: Digits, folder: Path) -> Path:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, array in (("images-idx3", digits.images), ("labels-idx1", digits.labels.astype(np.uint8))):
        sizes = np.array(array.shape, ">u4").tobytes()
        head = bytes((0, 0, 8, array.ndim)) + sizes
        (raw / f"train-{name}-ubyte").write_bytes(head + array.tobytes())
    return folder / "MNIST"


def write_npz(digits: Digits, folder: Path) -> Path:
    np.savez(folder / "digits.npz", X=digits.images, y=digits.labels)
    return folder / "digits.npz"


def write_pictures(digits: Digits, folder: Path) -> Path:
    pictures = folder / "pictures"
    for at, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        (pictures / str(label)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(pictures / str(label) / f"{at}.png"), image)
    return pictures


def write_zip_of_pictures(_: Digits, folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "pictures"))


def write_parquet(digits: Digits, folder: Path) -> Path | None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    images = [{"bytes": cv2.imencode(".png", image)[1].tobytes()} for image in digits.images]
    parquet.write_table(
        pyarrow.table({"image": images, "label": digits.labels}), folder / "train-00000-of-00001.parquet"
    )
    return folder / "train-00000-of-00001.parquet"


WRITERS: dict[str, Callable[[Digits, Path], Path | None]] = {
    "IDX, as torchvision keeps them": write_idx,
    ".npz": write_npz,
    "folders of pictures": write_pictures,
    "a zip of these folders": write_zip_of_pictures,
    "Parquet": write_parquet,
}


def measure(package: Path, source: Path | None, folder: Path) -> Times | None:
    """Return the seconds to the first line and the first step of a training; None if it does not start."""
    with TemporaryDirectory(dir=folder) as empty:
        command = [
            sys.executable,
            "-u",
            "-m",
            "digit_recognizer",
            "train",
            *([str(source)] if source else []),
        ]
        command += ["--recipe", "flash", "--out", str(Path(empty, "run"))]
        paths = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": paths, "FORCE_COLOR": "1", "COLUMNS": "120"}
        start, first, shown = time.perf_counter(), None, b""
        with subprocess.Popen(
            command, cwd=empty, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            while (text := os.read(process.stdout.fileno(), 1 << 16)) and STEP_SHOWN not in shown + text:
                shown += text
                if first is None and INVISIBLE.sub(b"", shown):
                    first = time.perf_counter() - start
                if time.perf_counter() - start > LIMIT_SECONDS:
                    break
            seconds = time.perf_counter() - start
            process.kill()
        if STEP_SHOWN not in shown + text:
            return None
        return first or seconds, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--beside", type=Path, help="the folder src of another version")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    packages = {"": OWN} | ({"before: ": options.beside.resolve()} if options.beside else {})
    with TemporaryDirectory() as folder:
        sources = make_sources(options.archive.resolve(), Path(folder))
        kinds = [kind for kind, source in sources.items() if source or kind.startswith("nothing")]
        found = defaultdict[tuple[str, str], list[Times]](list)
        for _ in range(options.repeats):
            for kind in kinds:
                for name, package in packages.items():
                    times = measure(package, sources[kind], Path(folder))
                    if times:
                        found[name, kind].append(times)
        columns = [f"{name}{what}" for name in reversed(packages) for what in ("first line", "first step")]
        print(f"| source | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
        for kind in kinds:
            row = [found[name, kind] for name in reversed(packages)]
            shown = [zip(*times, strict=True) if times else (None, None) for times in row]
            cells = [f"{median(times):.2f}" if times else "not started" for pair in shown for times in pair]
            print(f"| {kind} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
