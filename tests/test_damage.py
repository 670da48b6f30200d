"""Damaged files of runs, corrections, studies: each is named with what was expected, and nothing changes."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from digit_recognizer import write_report
from digit_recognizer.corrections import CorrectionStore
from digit_recognizer.explain.activations import Convolution, open_activations, read_filters
from digit_recognizer.recipes.schema import Teacher
from digit_recognizer.recognition import Recognizer
from digit_recognizer.runs.history import read_history
from digit_recognizer.search.search import tune
from digit_recognizer.search.space import parse_ranges
from digit_recognizer.training import cross_validate, resume, resume_folds, train, with_corrections
from helpers import assert_refused, csv_of, files_in, follow_until, make_digits, refusal, says, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

DIGITS = make_digits()
LINEAR = ('network=["maxpool 4", "dense 10"]', "epochs=1")
STEPS = 5  # of an epoch: 160 images, 32 a batch
STATE, MEMBER = "checkpoint/state.safetensors", "checkpoint/member-1.safetensors"
UPGRADE = "upgrade digit-recognizer"

Damage = Callable[[Path], object]


# The files: one finished run, and what is left by a training, a cross-validation and a search at work


@pytest.fixture(scope="session")
def whole(trained, tmp_path_factory) -> Path:
    """A folder with a file of each kind, undamaged."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(trained("two convolutions"), folder / "finished")
    (folder / "digits.csv").write_text(csv_of(DIGITS))
    corrections = folder / "corrections.sqlite"
    for image, label in zip(DIGITS.images[:3], DIGITS.labels, strict=False):
        CorrectionStore(corrections).add(image, int(label), None, "a run")
    recipe = with_corrections(tiny(*LINEAR, "members=2"), corrections)
    follow_until(STEPS + 2, lambda **stop: train(DIGITS, recipe, folder / "stopped", **stop))

    def folds(**stop: Any):
        for run in cross_validate(DIGITS, tiny(*LINEAR), folder / "folds", folds=2, **stop):
            yield from run.records

    follow_until(STEPS + 2, folds)
    list(search(folder))
    return folder


def search(folder: Path, trials: int = 1):
    ranges = parse_ranges(["batch_size=16..64"])
    return tune(DIGITS, tiny(*LINEAR), folder / "study", trials=trials, ranges=ranges)


@pytest.fixture
def here(whole, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, as the current one."""
    copy = shutil.copytree(whole, tmp_path / "here")
    monkeypatch.chdir(copy)
    return copy


READERS: dict[str, Callable[[Path], object]] = {
    "resume": lambda here: resume(here / "stopped", DIGITS),
    "resume a fold": lambda here: resume(here / "folds/fold-2", DIGITS),
    "resume folds": lambda here: list(resume_folds(here / "folds", DIGITS)),
    "train on": lambda here: resume(here / "finished", DIGITS, epochs=5),
    "teach": lambda here: train(DIGITS, tiny(teacher=Teacher(str(here / "finished"))), here / "new"),
    "report": lambda here: write_report(here / "finished", DIGITS),
    "recognize": lambda here: Recognizer(here / "finished"),
    "load a model": lambda here: Recognizer(here / "finished/model.onnx"),
    "show activations": lambda here: open_activations(here / "finished/model.onnx"),
    "show filters": lambda here: read_filters(here / "finished", Convolution("conv1", "conv2d")),
    "read the history": lambda here: read_history(here / "finished/history.csv"),
    "list corrections": lambda here: CorrectionStore(here / "corrections.sqlite", create=False).all(),
    "add a correction": lambda here: CorrectionStore(here / "corrections.sqlite"),
    "search": lambda here: list(search(here, trials=2)),
}


def assert_named(reader: str, here: Path, path: Path, *facts: object) -> None:
    """See that a reader names a file and what was expected of it, and that it changes nothing."""
    before = contents(here)
    assert says(refusal(lambda: READERS[reader](here)), path, *facts)
    assert contents(here) == before


def contents(folder: Path) -> dict[str, bytes]:
    beside = (".lock", "-wal", "-shm")  # of the process that looks
    return {name: (folder / name).read_bytes() for name in files_in(folder) if not name.endswith(beside)}


# Files of no content, of half of it, and of another kind, whichever they are

ANY: dict[str, Damage] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "its first bytes": lambda path: path.write_bytes(path.read_bytes()[:4]),
    "its first words": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all but its end": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "text": lambda path: path.write_bytes(b"garbage " * 1000),
    "all ones": lambda path: path.write_bytes(b"\xff" * path.stat().st_size),
}
READ = {
    "resume": [
        *("stopped/recipe.toml", "stopped/environment.json", "stopped/validation.npy"),
        *("stopped/corrections.npz", f"stopped/{STATE}", f"stopped/{MEMBER}"),
    ],
    "resume a fold": ["folds/fold-2/fold.npy"],
    "resume folds": ["folds/folds.json", "folds/recipe.toml"],
    "train on": ["finished/validation.npy"],
    "teach": [
        *("finished/recipe.toml", "finished/environment.json", "finished/validation.npy"),
        *("finished/metrics.json", "finished/model.safetensors"),
    ],
    "report": [
        *("finished/recipe.toml", "finished/environment.json", "finished/validation.npy"),
        *("finished/metrics.json", "finished/history.csv", "finished/model.onnx"),
    ],
    "recognize": ["finished/environment.json", "finished/metrics.json", "finished/model.onnx"],
    "show activations": ["finished/model.onnx"],
    "show filters": ["finished/model.safetensors"],
    "list corrections": ["corrections.sqlite"],
    "search": ["study/study.db"],
}
HARMLESS = {
    ("resume", f"stopped/{STATE}", "missing"),  # training starts over
    ("search", "study/study.db", "missing"),  # so does the search
    ("search", "study/study.db", "empty"),
    *(("recognize", "finished/metrics.json", damage) for damage in ANY if damage != "missing"),  # not read
    *(
        (reader, file, "all but its end")
        for reader, files in READ.items()
        for file in files
        if file.endswith((".toml", ".csv", ".sqlite", ".db"))
    ),  # a line less, or nothing that is read
}
WAYS_OUT = {  # of what has no file to name
    "environment.json": "digits train",
    "folds.json": "folds.json",
    "metrics.json": "digits train --resume",
    "model.onnx": "model.onnx",
}


@pytest.mark.parametrize(
    ("reader", "file", "damage"),
    [
        case
        for reader, files in READ.items()
        for file in files
        for damage in ANY
        if (case := (reader, file, damage)) not in HARMLESS
    ],
)
def test_a_file_that_is_damaged_is_named(reader, file, damage, here):
    path = here / file
    ANY[damage](path)
    if damage == "missing" and path.name in WAYS_OUT:
        assert_named(reader, here, path.parent, WAYS_OUT[path.name])
    else:
        assert_named(reader, here, path)


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("train digits.csv --resume stopped", [f"stopped/{STATE}", "stopped/recipe.toml"]),
        ("train digits.csv --resume stopped", ["stopped/environment.json", "stopped/corrections.npz"]),
        ("train digits.csv --resume folds", ["folds/folds.json"]),
        (
            "train digits.csv --recipe tiny --set batch_size=32 --set teacher.run=finished --out new",
            ["finished/model.safetensors"],
        ),
        ("report finished digits.csv", ["finished/history.csv", "finished/metrics.json"]),
        ("report finished digits.csv", ["finished/recipe.toml", "finished/model.onnx"]),
        ("report finished digits.csv", ["finished/model.safetensors"]),
        ("evaluate finished digits.csv", ["finished/environment.json", "finished/model.onnx"]),
        ("tune tiny digits.csv --out study --trials 2", ["study/study.db"]),
        *(
            (f"corrections {action} --corrections-file corrections.sqlite", ["corrections.sqlite"])
            for action in ("list", "export mine.csv", "clear --yes")
        ),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_a_command_that_reads_a_damaged_file_ends_with_status_2(command, files, here, run_command):
    for file in files:
        whole = (here / file).read_bytes()
        (here / file).write_bytes(whole[:40])
        before = contents(here)
        status, output, errors = run_command(command)
        refusals = [line for line in errors.splitlines(True) if not line.startswith("Warning: digits.csv")]
        assert_refused((status, output, "".join(refusals)), file)
        assert contents(here) == before
        (here / file).write_bytes(whole)


@pytest.mark.parametrize("action", ["list", "export mine.csv", "clear --yes"])
def test_a_command_that_reads_corrections_of_another_program_ends_with_status_2(action, here, run_command):
    foreign_database(here / "foreign.sqlite")
    for name in ("missing.sqlite", "foreign.sqlite"):
        assert_refused(run_command(f"corrections {action} --corrections-file {name}"), name)
    assert not (here / "missing.sqlite").exists()
    assert not (here / "mine.csv").exists()


# Files of the right kind with the wrong content


def text(content: str | bytes) -> Damage:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def change_json(**changes: object) -> Damage:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_text(pattern: str, replacement: str) -> Damage:
    return lambda path: path.write_text(re.sub(pattern, replacement, path.read_text()))


def array(values: object) -> Damage:
    return lambda path: np.save(path, np.array(values))


def another(file: str) -> Damage:
    """Replace a file by another of the same kind; its path is seen from the copied folder."""
    return lambda path: shutil.copy(file, path)


def change_checkpoint(tensors: Callable[[dict], dict] = dict, **header: object) -> Damage:
    def change(path: Path) -> None:
        with safe_open(path, "np") as file:
            changed = json.loads(file.metadata()["digit_recognizer"]) | header
        save_file(tensors(load_file(path)), path, {"digit_recognizer": json.dumps(changed)})

    return change


def without(name: str) -> Damage:
    return change_checkpoint(lambda tensors: {key: tensors[key] for key in tensors if key != name})


def change_database(*statements: str) -> Damage:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                database.execute(statement)
            database.commit()

    return change


def foreign_database(path: Path) -> None:
    path.unlink(missing_ok=True)
    change_database("CREATE TABLE corrections (spelling TEXT)")(path)


def change_model(**properties: str) -> Damage:
    """Write a model again with other metadata."""

    def change(path: Path) -> None:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, path)

    return change


def foreign_model(name: str, kind: int, shape: list[Any], **properties: str) -> Damage:
    """Write a valid ONNX model of somebody else, whose output is its input."""

    def write(path: Path) -> None:
        given = onnx.helper.make_tensor_value_info(name, kind, shape)
        gives = onnx.helper.make_tensor_value_info("probabilities", kind, shape)
        node = onnx.helper.make_node("Identity", [name], ["probabilities"])
        graph = onnx.helper.make_graph([node], "foreign", [given], [gives])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
        onnx.helper.set_model_props(model, properties)
        onnx.save(model, path)

    return write


UINT8, FLOAT = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
ROW = "1,0.01,2.3,0.1,,,,0.5,320.0,1"
COLUMNS = (
    "epoch,learning_rate,loss,accuracy,validation_loss,validation_accuracy,validation_errors,"
    "seconds,images_per_second,member"
)

CONTENT: dict[tuple[str, str], list[tuple[Damage, list[object]]]] = {
    ("resume", "stopped/recipe.toml"): [
        (text("name = "), ["TOML"]),
        (change_text("epochs = 1", "epochs = 0"), ["epochs", 0]),
        (change_text("$", "\n[future]\nkey = 1\n"), ["future"]),
    ],
    ("resume", "stopped/environment.json"): [
        *((text(content), ["object"]) for content in ("[]", "5")),
        *((change_json(seed=seed), ["seed", repr(seed)]) for seed in ("x", -1, None)),
        *((change_json(data=data), ["data", "sha256"]) for data in (5, {})),
        (text('{"format": 1}'), ["data", "sha256"]),
    ],
    ("resume", "stopped/validation.npy"): [
        (array(np.zeros(3)), ["int64", "float64 (3,)"]),
        (array([[0, 0], [0, 0]]), ["int64", "(2, 2)"]),
        *((array(rows), ["rows"]) for rows in ([200], [-1])),
        (another("finished/validation.npy"), ["rows"]),
    ],
    ("resume", f"stopped/{STATE}"): [
        *(
            (change_checkpoint(position=position), [])
            for position in ("", 5, {}, {"history": 5}, {"history": [{}]}, {"history": [], "x": 1})
        ),
        *(
            (without(name), ["recipe"])
            for name in ("network.dense1.weight", "optimizer.0.exp_avg", "optimizer.1.step")
        ),
        *(
            (change_checkpoint(lambda old, name=name: old | {name: np.zeros(1, np.float32)}), ["recipe"])
            for name in ("optimizer.99.exp_avg", "optimizer.x.exp_avg")
        ),
        (another("finished/checkpoint/state.safetensors"), ["recipe"]),
        (change_checkpoint(format=2), ["format 2", UPGRADE]),
    ],
    ("resume", f"stopped/{MEMBER}"): [(another("finished/model.safetensors"), ["recipe"])],
    ("resume", "stopped/corrections.npz"): [
        (text(b"PK\x03\x04 nonsense"), []),
        (lambda path: np.savez(path, images=DIGITS.images, labels=DIGITS.labels), ["others"]),
    ],
    ("resume a fold", "folds/fold-2/fold.npy"): [(another("folds/fold-1/fold.npy"), ["rows"])],
    ("resume folds", "folds/folds.json"): [
        (text("[]"), ["object"]),
        (text('{"format": 1}'), ["folds", "seed", "source"]),
        (text('{"format": 1, "folds": "3", "seed": 0, "source": ""}'), ["folds", "seed", "source"]),
    ],
    ("report", "finished/metrics.json"): [
        (text("[]"), ["object"]),
        *((text(content), ["numbers", "epochs", "seconds"]) for content in ("{}", '{"epochs": "many"}')),
    ],
    ("teach", "finished/validation.npy"): [(another("stopped/validation.npy"), ["rows"])],
    ("teach", "finished/metrics.json"): [
        (change_json(members=2), ["1 to 1 members"]),
        *(
            (change_json(members=members), ["member", repr(members)])
            for members in (0, -1, True, "1", 1.0, None, [1])
        ),
    ],
    ("teach", "finished/model.safetensors"): [(another(f"stopped/{MEMBER}"), ["recipe"])],
    ("show filters", "finished/model.safetensors"): [(another(f"stopped/{MEMBER}"), ["conv1"])],
    ("report", "finished/model.safetensors"): [(text("?"), [])],
    ("report", "finished/history.csv"): [(text("epoch,loss\n1,0.5\n"), ["line 2"])],
    ("read the history", "finished/history.csv"): [
        *(
            (text(f"{COLUMNS}\n{ROW}\n{row}\n"), ["line 3", "number"])
            for row in (
                "2",
                "2,0.01,2.3",
                "2,0.01,,0.1,,,,0.5,320.0,1",  # only validation may be missing
                "2,0.01,much,0.1,,,,0.5,320.0,1",
                "two,0.01,2.3,0.1,,,,0.5,320.0,1",
                "2.5,0.01,2.3,0.1,,,,0.5,320.0,1",
                "2,0.01,2.3,0.1,1.0,0.5,3.5,0.5,320.0,1",
                '"2,0.01,2.3,0.1,,,,0.5,320.0,1',
                "2,0.01,2.3,0.1,,,,0.5,320.0",  # as it was before there were members
                "2,0.01,2.3,0.1,,,,0.5,320.0,1.5",
                "2,0.01,nan,0.1,,,,0.5,320.0,1",
                "2,0.01,inf,0.1,,,,0.5,320.0,1",
                "\0" * 50,
                "9" * 5_000 + ",0.01,2.3,0.1,,,,0.5,320.0,1",
            )
        ),
        (text("epoch,loss\n1,2.3\n"), ["line 2"]),
        (text(b"\xff\xfe\x00"), []),
        (text(f"{COLUMNS}\n{'9' * 200_000}"), []),
        (Path.unlink, []),
    ],
    ("load a model", "finished/model.onnx"): [
        (text("mine"), ["ONNX"]),
        (change_model(format="2"), ["format 2", UPGRADE]),
        (foreign_model("images", FLOAT, ["n", 64, 64], format="2"), ["format 2", UPGRADE]),
        (change_model(), ["format"]),
        (change_model(format="1", held_out="many"), ["'many'", "number"]),
        *(
            (foreign_model(*signature, format="1"), ["uint8", "images", "28, 28", "probabilities", "10"])
            for signature in (
                ("images", UINT8, ["n", 28, 28]),  # the right input, but no ten probabilities
                ("images", FLOAT, ["n", 28, 28]),
                ("pixels", UINT8, ["n", 28, 28]),
                ("images", UINT8, ["n", 1, 28, 28]),
                ("images", FLOAT, []),
            )
        ),
    ],
    ("show activations", "finished/model.onnx"): [(foreign_model("pixels", FLOAT, ["n", 3]), ["ONNX"])],
    ("list corrections", "corrections.sqlite"): [
        (change_database("UPDATE corrections SET image = x'00' WHERE id = 2"), ["784", "correction 2"]),
        (change_database("UPDATE corrections SET label = 12 WHERE id = 3"), ["correction 3", "12"]),
        (change_database("PRAGMA user_version = 3"), ["format 3", UPGRADE]),
        (foreign_database, ["corrections"]),
    ],
    ("add a correction", "corrections.sqlite"): [
        (text("Buy milk. " * 1000), ["corrections"]),
        (foreign_database, ["corrections"]),
    ],
}
OF_THE_FOLDER: dict[tuple[str, str], list[tuple[Damage, list[object]]]] = {  # what is said of it as a whole
    ("resume", "stopped/environment.json"): [
        (change_json(format=2), ["format 2", "up to 1", UPGRADE]),
        (text("{}"), ["format", None]),
        (text('{"format": "new"}'), ["format", "'new'"]),
    ],
    ("recognize", "finished/environment.json"): [(change_json(format=2), ["format 2", UPGRADE])],
    ("resume folds", "folds/folds.json"): [
        (text('{"format": 2}'), ["format 2", UPGRADE]),
        (text("{}"), ["format", None]),
    ],
    ("teach", "finished/environment.json"): [
        (text("{}"), ["format"]),
        (change_json(data={"sha256": "0", "held_out_sha256": "0", "source": ""}), ["other digits"]),
    ],
    ("teach", "finished/recipe.toml"): [(another("folds/recipe.toml"), ["recipe"])],
}


def cases(table: dict) -> list:
    return [
        pytest.param(*key, *case, id=f"{key[0]}-{key[1]}-{number}")
        for key, changes in table.items()
        for number, case in enumerate(changes)
    ]


@pytest.mark.parametrize(("reader", "file", "damage", "facts"), cases(CONTENT))
def test_a_file_with_wrong_content_is_named_with_what_was_expected(reader, file, damage, facts, here):
    damage(here / file)
    assert_named(reader, here, here / file, *facts)


@pytest.mark.parametrize(("reader", "file", "damage", "facts"), cases(OF_THE_FOLDER))
def test_a_run_of_another_version_or_of_other_digits_is_named(reader, file, damage, facts, here):
    damage(here / file)
    assert_named(reader, here, (here / file).parent, *facts)


@pytest.mark.parametrize(
    ("pattern", "replacement", "facts"),
    [
        ("dense 10", 'dense 16 relu", "dense 10', []),
        (r"\[optimizer\][^[]*", '[optimizer]\nname = "rmsprop"\n\n', ["Adam"]),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_recipe_is_named(pattern, replacement, facts, here):
    change_text(pattern, replacement)(here / "folds/fold-2/recipe.toml")
    assert_named("resume a fold", here, here / f"folds/fold-2/{STATE}", "recipe", *facts)


def test_a_teacher_has_no_more_members_than_its_recipe(here):
    change_text("members = 1", "members = 3")(here / "finished/recipe.toml")
    change_json(members=4)(here / "finished/metrics.json")
    assert_named("teach", here, here / "finished/metrics.json", "1 to 3 members")


@pytest.mark.parametrize("reader", ["list corrections", "add a correction"])
def test_a_folder_is_no_file_of_corrections(reader, here):
    (here / "corrections.sqlite").unlink()
    (here / "corrections.sqlite").mkdir()
    assert_named(reader, here, here / "corrections.sqlite")
