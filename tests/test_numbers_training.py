"""The reader goes on learning from pictures of whole numbers: loss, run folder, resuming, evaluation."""

from __future__ import annotations

import json
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import helpers
from digit_recognizer import Recognizer, load_digits
from digit_recognizer.networks.character_network import (
    BOX,
    CLASSES,
    EM,
    MAPS,
    START,
    CharacterNetwork,
    NetworkSize,
    export_reader,
    load_character_network,
)
from digit_recognizer.number_evaluation import NumberEvaluation, ReadNumber, edit_distance
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.reading.calibration import fit_calibration
from digit_recognizer.recipes import NumbersRecipe, load_any_recipe, load_recipe
from digit_recognizer.recipes.numbers import numbers_recipe_from_toml
from digit_recognizer.recipes.toml_tables import to_toml
from digit_recognizer.recognition.character_finder import READER_MODEL, CharacterFinder
from digit_recognizer.recognition.page_reader import read_page
from digit_recognizer.recognition.recognizer import CALIBRATION
from digit_recognizer.report.numbers import write_numbers_report
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.metrics import read_metrics
from digit_recognizer.runs.split import DataSplit, read_split
from digit_recognizer.sources.numbers import NumberPictures, load_numbers
from digit_recognizer.synthetic.pages import compose_page, make_glyphs
from digit_recognizer.training.numbers import resume_numbers, train_numbers
from digit_recognizer.training.numbers.alignment import alignment_loss
from digit_recognizer.training.numbers.task import NumberTask
from digit_recognizer.training.numbers.text_loss import (
    column_log_probabilities,
    most_probable_places,
    most_probable_texts,
    text_losses,
)
from digit_recognizer.training.numbers.trainer import split_numbers
from digit_recognizer.training.numbers.views import sample_view, stack
from helpers import files_in, follow_until, history_without_times, refusal, says, tensors_of
from pictures import write_table, written
from runs import NUMBER_SETTINGS, stop_now

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("12", "407", "5", "88", "31", "690", "74", "2")
PARTS = ("train",) * 5 + ("validation",) * 2 + ("test",)
RECIPE = load_any_recipe("numbers", NUMBER_SETTINGS)
RUN_FILES = sorted([*helpers.RUN_FILES, "calibration.json"])


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Return a table of written numbers; two are held out, and one is of the test part."""
    return write_table(tmp_path_factory.mktemp("cells"), TEXTS, PARTS)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory) -> Path:
    """Return a finished run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "cells"
    records = list(train_numbers(load_numbers(table), RECIPE, folder, source=str(table)))
    assert [record.epoch for record in records] == [1, 2]
    return folder


def maps_of(columns: str, height: int = 3) -> torch.Tensor:
    """Return maps that are certain: a character, or a blank for none, in each column; ^ starts a number."""
    places = [each for each in columns if each != "^"]
    maps = torch.full((1, MAPS, height, len(places)), -20.0)
    starts = [place for place, each in enumerate(columns) if each == "^"]
    for place, character in enumerate(places):
        if character != " ":
            maps[0, 0, place % height, place] = 20
            maps[0, 1 + CHARACTERS.index(character), :, place] = 20
    for number, place in enumerate(starts):
        maps[0, START, :, place - number] = 20
    return maps


@pytest.mark.parametrize(
    ("columns", "text"),
    [(" ^1 2 ", "12"), ("^1^122", "12"), ("^1 1", "11"), ("   ", ""), ("^4 , 5", "4,5"), ("^7^7", "7")],
)
def test_columns_say_a_text(columns, text):
    found = column_log_probabilities(maps_of(columns))
    np.testing.assert_allclose(found.exp().sum(dim=2).numpy(), 1, atol=1e-4)
    assert most_probable_texts(found) == [text]
    if text:
        right, wrong = (float(text_losses(found, [each])) for each in (text, "9"))
        assert right < 0.01
        assert wrong > 10


def test_the_loss_is_that_of_all_ways_to_place_the_characters():
    """Of three columns with chance values: the sum over all 35 ** 3 ways, computed one by one."""
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn((1, MAPS, 2, 3), generator=generator)
    columns = column_log_probabilities(maps)
    probabilities = columns[:, 0].exp().numpy()
    first, second = 1 + 3, 1 + CLASSES + 5  # 3 starts the number, 5 does not
    total = 0.0
    for way in product([0, first, second], repeat=3):
        collapsed = [each for at, each in enumerate(way) if each and (at == 0 or way[at - 1] != each)]
        if collapsed == [first, second]:
            total += float(np.prod([probabilities[at, each] for at, each in enumerate(way)]))
    assert float(text_losses(columns, ["35"])) == pytest.approx(-np.log(total), rel=1e-4)


def test_a_text_without_room_counts_nothing():
    assert float(text_losses(column_log_probabilities(maps_of("^1")), ["1234"])) == 0


@pytest.mark.parametrize("text", ["35", "33", "3"])
def test_characters_are_placed_in_the_most_probable_of_all_ways(text):
    """Of six columns with chance values: the best of all 35 ** 6 ways, less those of other classes."""
    generator = torch.Generator().manual_seed(len(text))
    columns = column_log_probabilities(torch.randn((1, MAPS, 2, 6), generator=generator))
    classes = [1 + int(text[0]), *(1 + CLASSES + int(each) for each in text[1:])]
    ways = [
        way
        for way in product({0, *classes}, repeat=6)
        if [each for at, each in enumerate(way) if each and (at == 0 or way[at - 1] != each)] == classes
    ]
    log_p = columns[:, 0].numpy()
    best = max(ways, key=lambda way: log_p[range(6), way].sum())
    [places] = most_probable_places(columns, [text])
    assert places is not None
    assert [best[place] for place in places] == classes
    assert sorted(places) == places.tolist()
    for place, each in zip(places, classes, strict=True):  # of the columns of a character, the likeliest
        assert log_p[place, each] == max(log_p[at, each] for at in range(6) if best[at] == each)


def test_texts_of_several_lengths_are_placed_side_by_side():
    columns = column_log_probabilities(torch.cat([maps_of(" ^1 2  "), maps_of("^4 ,5  ")]))
    placed = most_probable_places(columns, ["12", "4,5"])
    assert [None if each is None else each.tolist() for each in placed] == [[1, 3], [0, 2, 3]]
    without_room = most_probable_places(columns, ["1234567", "4,5"])
    assert without_room[0] is None
    assert without_room[1] is not None


def test_a_network_that_is_sure_of_the_text_has_the_least_alignment_loss():
    """And characters that may be in either of two columns cost more, although their text costs nothing."""
    sure = maps_of(" ^1 2  ")
    sure[:, BOX] = 0
    torn = sure.clone()
    torn[0, 0, :, 2:4] = -0.5
    torn[0, 1 + 2, :, 2:4] = 20
    pages = torch.zeros((1, 12, 24), dtype=torch.uint8)
    losses = [
        float(alignment_loss(pages, maps, column_log_probabilities(maps), ["12"])) for maps in (sure, torn)
    ]
    assert losses[0] < 0.01
    assert losses[1] > 0.1
    wrong = float(alignment_loss(pages, sure, column_log_probabilities(sure), ["13"]))
    assert wrong > 1


def test_an_alignment_teaches_no_sizes_and_a_text_without_room_nothing():
    maps = maps_of("^1 2")
    maps[:, BOX] = 0
    maps.requires_grad_()
    pages = torch.zeros((1, 12, 12), dtype=torch.uint8)
    alignment_loss(pages, maps, column_log_probabilities(maps), ["12"]).backward()
    assert maps.grad is not None
    assert not maps.grad[:, BOX.start : EM + 1].any()
    assert maps.grad[:, 0].any()
    assert float(alignment_loss(pages, maps, column_log_probabilities(maps), ["12345"])) == 0


def test_the_network_of_a_file_gives_the_same_outputs(tmp_path):
    glyphs = make_glyphs(load_digits("bundled"))
    page = compose_page(glyphs, np.random.default_rng(1), height=96, width=128, kind="numbers").image
    written_page = written("4702")
    network = load_character_network(READER_MODEL).eval()
    find = CharacterFinder(READER_MODEL, threads=1).find
    expected = [each.is_character for each in find(written_page)]
    again = tmp_path / "again.onnx"
    export_reader(network, again, page, {"recipe": "numbers"})
    found = [each.is_character for each in CharacterFinder(again, threads=1).find(written_page)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(found) > 0


def test_a_file_with_another_network_is_refused(tmp_path):
    network = CharacterNetwork(NetworkSize((4, 8, 8, 8), (1, 1, 1)))
    path = tmp_path / "small.onnx"
    export_reader(network, path, np.full((64, 64), 200, np.uint8))
    assert says(refusal(lambda: load_character_network(path)), "holds another network")
    path.write_bytes(b"nonsense")
    assert says(refusal(lambda: load_character_network(path)), "is damaged")


@pytest.mark.parametrize(("scale", "strength"), [(1.0, 0.0), (2.0, 0.0), (0.25, 0.0), (1.5, 1.0), (0.4, 2.0)])
def test_views_keep_what_is_written(scale, strength):
    page = written("407", margin=8)
    rng = np.random.default_rng(0)
    view = sample_view(page, scale, rng, strength)
    if strength == 0:
        sides = [np.ceil(side * scale) for side in page.shape]
        assert np.abs(np.subtract(view.shape, sides)).max() <= 1
    batch = stack([view, page], rng)
    assert batch.dtype == torch.uint8
    assert all(side % 16 == 0 for side in batch.shape[1:])
    assert view.std() > 5


def test_a_run_has_its_files_and_says_what_it_reached(run, table):
    assert files_in(run) == RUN_FILES
    metrics, environment = read_metrics(run), read_environment(run)
    assert (metrics.training_images, metrics.validation.images) == (5, 2)
    assert metrics.character_error_rate is not None
    assert (environment.data.images, environment.data.held_out) == (7, 2)
    assert read_split(run, environment, 7).validation.tolist() == [5, 6]
    recognizer = Recognizer(run)
    assert recognizer.reads_numbers
    assert recognizer.trained_on == load_numbers(table).without_test().sha256()
    assert recognizer.evaluation_rows.tolist() == [5, 6]


def test_a_run_reads_but_does_not_predict(run):
    page = written("407", seed=9)
    for model in (run, run / "model.onnx"):
        recognizer = Recognizer(model)
        expected = read_page(page, CharacterFinder(run / "model.onnx").find)
        assert recognizer.read(page).text == recognizer.read_page(page).text == expected.text
        assert recognizer.read_single(page).probabilities
        assert says(
            refusal(lambda: Recognizer(run).predict(np.zeros((1, 28, 28), np.uint8))), "whole numbers"
        )


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_resumed_run_ends_with_the_same_weights(step, run, table, tmp_path):
    pictures = load_numbers(table)
    folder = tmp_path / "run"
    follow_until(step, partial(train_numbers, pictures, RECIPE, folder))
    for _ in resume_numbers(folder, pictures):
        pass
    assert tensors_of(folder / "model.safetensors") == tensors_of(run / "model.safetensors")
    assert history_without_times(folder) == history_without_times(run)


def test_a_run_that_is_stopped_while_it_is_prepared_is_resumed(run, table, tmp_path):
    pictures, folder = load_numbers(table), tmp_path / "run"
    assert list(train_numbers(pictures, RECIPE, folder, stop=stop_now())) == []
    assert "metrics.json" not in files_in(folder)
    for _ in resume_numbers(folder, pictures):
        pass
    assert tensors_of(folder / "model.safetensors") == tensors_of(run / "model.safetensors")


def test_resuming_needs_the_same_pictures_and_something_to_do(run, table):
    pictures = load_numbers(table)
    assert says(refusal(lambda: resume_numbers(run, pictures[[0, 1]])), "other pictures")
    assert says(refusal(lambda: resume_numbers(run, pictures)), "is finished after 2 epochs")


@pytest.mark.parametrize(("shown", "batches"), [(1, 2), (5, 2), (6, 4), (16, 8)])
def test_few_pictures_are_shown_several_times(shown, batches, table):
    pictures = load_numbers(table).of_parts("train")
    recipe = load_any_recipe("numbers", [*NUMBER_SETTINGS, f"shown={shown}", "batch_size=2"])
    split = DataSplit(np.arange(5), np.arange(0))
    scales = np.ones(5)
    task = NumberTask(
        recipe, 2, torch.device("cpu"), pictures, scales, pictures[split.validation], scales, []
    )
    orders = [torch.cat(task.batches(epoch, 1)).tolist() for epoch in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert all(orders[0].count(row) == -(-shown // 5) for row in range(5))
    assert len(task.batches(1, 1)) == batches


def test_pictures_of_similar_sizes_share_a_batch():
    sizes = np.random.default_rng(0).integers(10, 200, 100)
    pictures = NumberPictures(
        tuple(np.zeros((10, width), np.uint8) for width in sizes), ("1",) * 100, tuple(map(str, range(100)))
    )
    recipe = load_any_recipe("numbers", [*NUMBER_SETTINGS, "shown=1", "batch_size=8"])
    scales = np.where(sizes < 50, 2.0, 1.0)
    task = NumberTask(recipe, 0, torch.device("cpu"), pictures, scales, pictures[np.arange(0)], scales, [])
    batches = task.batches(1, 1)
    widths = sizes * scales**2
    spreads = [float(np.ptp(widths[rows])) for rows in batches]
    assert np.mean(spreads) < np.ptp(widths) / 4
    assert [len(rows) for rows in batches].count(8) == 12
    firsts = [widths[rows].mean() for rows in batches]
    assert sorted(firsts) != firsts


def test_a_loss_goes_down(table, tmp_path):
    """On pictures that it sees as they are, after some steps."""
    recipe = load_any_recipe(
        "numbers", [*NUMBER_SETTINGS, "epochs=4", "augmentation=0.0", "composed.weight=0.0"]
    )
    first, *_, last = train_numbers(load_numbers(table), recipe, tmp_path / "run")
    assert last.loss < first.loss


@pytest.mark.parametrize(("fraction", "held_out"), [(0.0, 0), (0.1, 1), (0.5, 4), (0.99, 7)])
def test_a_table_without_parts_is_split(fraction, held_out, table):
    pictures = load_numbers(table)
    recipe = load_any_recipe("numbers", [f"split.validation={fraction}"])
    without = type(pictures)(pictures.pictures, pictures.labels, pictures.files)
    split = split_numbers(without, recipe, seed=3)
    assert len(split.validation) == held_out
    assert sorted([*split.training, *split.validation]) == list(range(8))
    assert split_numbers(without, recipe, seed=3).validation.tolist() == split.validation.tolist()


def test_without_pictures_to_learn_from_there_is_no_run(table, tmp_path):
    pictures = load_numbers(table).of_parts("validation")
    message = refusal(lambda: train_numbers(pictures, RECIPE, tmp_path / "run"))
    assert says(message, "no pictures to learn from")
    assert not (tmp_path / "run").exists()


def test_recipes_for_numbers_are_told_from_others():
    assert isinstance(RECIPE, NumbersRecipe)
    assert numbers_recipe_from_toml(to_toml(RECIPE), "again") == RECIPE
    assert says(refusal(lambda: load_recipe("numbers")), "not for single digits")
    assert says(refusal(lambda: list(train_numbers(None, "tiny"))), "not for pictures of whole numbers")


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("epoch=3", "did you mean 'epochs'"),
        ("composed.pages=0", "composed.pages: "),
        ("optimizer.name=adam", "'adamw', 'muon'"),
        ("stopping.patience=3", "there is no key 'stopping'"),
    ],
)
def test_a_wrong_setting_is_refused(setting, what):
    assert says(refusal(lambda: load_any_recipe("numbers", [setting])), what)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("12", "12", 0), ("12", "", 2), ("", "1", 1), ("1,5", "15", 1), ("407", "470", 2), ("12", "12 3", 2)],
)
def test_the_distance_of_texts(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_an_evaluation_counts_numbers_characters_and_lengths():
    read = [("12", "12", 0.9), ("34", "34", 0.8), ("407", "47", 0.7), ("5", "", 0.0), ("78", "73", 0.99)]
    evaluation = NumberEvaluation(tuple(ReadNumber(f"{label}.png", *values) for label, *values in
                                        ((label, label, text, p) for label, text, p in read)))  # fmt: skip
    assert (len(evaluation.numbers), evaluation.errors) == (5, 3)
    assert evaluation.character_error_rate == pytest.approx(3 / 10)
    assert evaluation.lengths == {1: (1, 1), 2: (3, 1), 3: (1, 1)}
    assert [each.label for each in evaluation.worst] == ["5", "78", "407"]
    values = evaluation.as_dict()
    assert (values["numbers"], values["errors"], values["accuracy"]) == (5, 3, 0.4)


@pytest.mark.parametrize("bias", [-2.0, 0.0, 1.5])
def test_calibration_finds_by_how_much_confidences_are_wrong(bias):
    rng = np.random.default_rng(0)
    logits = rng.normal(1, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logits + bias)))
    found = fit_calibration((1 / (1 + np.exp(-logits))).tolist(), right.tolist())
    assert (found.scale, found.shift) == (pytest.approx(0.5, abs=0.06), pytest.approx(bias, abs=0.12))


@pytest.mark.parametrize(
    ("confidences", "right"),
    [
        ([0.9] * 60, [True] * 60),
        ([1.0] * 30 + [0.5] * 30, [True] * 30 + [False] * 30),
        ([0.0, 1.0], [True, False]),
    ],
)
def test_calibration_of_few_or_certain_confidences_is_finite(confidences, right):
    found = fit_calibration(confidences, right)
    assert found.scale > 0
    assert 0 <= found.apply(0.7) <= 1


def test_commands_train_evaluate_and_read(table, run_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = " ".join(f"--set {each}" for each in NUMBER_SETTINGS)
    status, output, errors = run_command(f"train {table} --recipe numbers {settings} --out cells --report")
    assert (status, errors) == (0, "")
    assert says(output, "Training numbers on 7 images", "epoch   2", "in 2 numbers", "evaluate cells")
    assert says(output, "cells/report.html")
    status, output, _ = run_command("evaluate cells --json")
    values = json.loads(output)
    assert (status, values["numbers"]) == (0, 2)
    assert says(run_command("evaluate cells")[1], "2 numbers read exactly", "characters wrong")
    assert says(run_command("evaluate cells --part test")[1], "1 number read exactly")
    assert run_command(f"read {table.with_name('0.png')} --model cells")[0] == 0
    assert (tmp_path / "cells" / CALIBRATION).exists()


def test_a_report_shows_result_training_and_the_worst(run, run_command, tmp_path):
    status, output, _ = run_command(f"report {run} --out {tmp_path / 'page'}")
    assert status == 0
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert says(page, "2 numbers were read exactly", "By length", "Loss, accuracy and learning rate")
    assert says(output, "report.html")


def test_a_report_shows_pictures_that_were_misread(run, table, tmp_path):
    pictures = load_numbers(table)
    numbers = [ReadNumber(*values, "9", 0.5) for values in zip(pictures.files, pictures.labels, strict=True)]
    write_numbers_report(run, NumberEvaluation(tuple(numbers)), pictures, source="all", out=tmp_path / "page")
    assert (tmp_path / "page" / "figures" / "02-worst.png").exists()
    right = [ReadNumber(file, "1", "1", 0.5) for file in pictures.files]
    page = write_numbers_report(
        run, NumberEvaluation(tuple(right)), pictures, source="all", out=tmp_path / "page"
    )
    assert says(page.read_text("utf-8"), "All numbers were read exactly")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("train --recipe numbers", "name the pictures to learn from"),
        ("train {table} --recipe numbers --with-corrections", "digits corrections export FOLDER"),
        ("train {table} --from {run} --with-corrections", "digits corrections export FOLDER"),
        ("train {table} --recipe flash", "or train on whole numbers with --recipe numbers"),
        ("train none.csv --recipe numbers", "there is no table none.csv"),
        ("report {run} {run}", "are not compared"),
        ("evaluate {run} {other}", "found no file"),
        ("tune numbers --trials 2", "not for single digits"),
        ("train {table} --recipe numbers --set members=2", "there is no key 'members'"),
        ("train {table} --recipe numbers --set teacher.run={run}", "there is no key 'teacher'"),
        ("submit {run}", "digits read --csv"),
        ("train bundled --recipe flash --set teacher.run={run} --set teacher.weight=0.5", "other digits"),
    ],
)
def test_commands_refuse_what_they_cannot_do(command, what, table, run, run_command, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("name,age\na,1\n", "utf-8")
    status, _, errors = run_command(command.format(table=table, run=run, other=other))
    assert status == 2
    assert says(errors, what)
    assert len(errors.splitlines()) == 1


def test_the_shipped_reader_can_be_evaluated_on_a_table(table, run_command):
    status, output, _ = run_command(f"evaluate {table} --json")
    assert status == 0
    assert says(json.loads(output)["what"], "validation part")
