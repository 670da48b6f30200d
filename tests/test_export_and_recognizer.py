"""`model.onnx` and the recognizer: torch is the oracle, and other files and images are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Event

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from digit_recognizer.digits import Digits
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.onnx_export import export_onnx, is_slow_to_export
from digit_recognizer.networks.predictor import Predictor, scale
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recognition import Recognizer
from digit_recognizer.recognition.session import run_in_batches, start_session
from digit_recognizer.training import train
from helpers import make_digits, refusal, says, tiny

DIGITS = make_digits()
EVERY_LAYER = (
    "conv 6 5x3 same stride 2 relu",
    "conv 4 2x4 same gelu",
    "batchnorm",
    "elu",
    "maxpool 2 stride 1",
    "avgpool 3 stride 2",
    "dropout 0.5",
    "conv 8 2x2 valid leaky-relu",
    "flatten",
    "dense 12 silu",
    "batchnorm",
    "tanh",
    "dense 12 sigmoid",
    "dense 10",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a network with every kind of layer that ends in a row of values."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    for _ in train(DIGITS, tiny(network=EVERY_LAYER, epochs=1), folder):
        pass
    return folder


@pytest.fixture(scope="module")
def recognizer(run):
    return Recognizer(run)


def random_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def probabilities_of(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network.eval()(scale(torch.from_numpy(images))).softmax(dim=1).numpy()


class CountingSession:
    """Returns the number of images, counts its calls, and fails for fewer images than `least`."""

    def __init__(self, least: int = 0) -> None:
        self.calls = 0
        self._least = least

    def run(self, names, inputs):
        self.calls += 1
        (images,) = inputs.values()
        if len(images) < self._least:
            raise ValueError("too few")
        return [len(images) for _ in names]


@pytest.mark.parametrize("count", [1, 2, 257, 600])
def test_the_model_has_the_probabilities_of_the_weights_in_torch(count, run, recognizer):
    network = build_network(load_recipe(run / "recipe.toml"))
    network.load_state_dict(load_file(run / "model.safetensors"))
    images = random_images(count)
    found = recognizer.predict(images).probabilities
    np.testing.assert_allclose(found, probabilities_of(network, images), atol=1e-4)


def test_an_image_has_the_same_probabilities_alone_and_in_a_batch(recognizer):
    images = random_images(257)
    batch = recognizer.predict(images).probabilities
    alone = np.concatenate([recognizer.predict(image[None]).probabilities for image in images[:20]])
    np.testing.assert_allclose(batch[:20], alone, atol=1e-5)


def test_threads_change_neither_probabilities_nor_their_order(run):
    one, three = (Recognizer(run, threads=threads).predict(random_images(1000)) for threads in (1, 3))
    np.testing.assert_array_equal(three.probabilities, one.probabilities)


def test_processors_are_not_counted_for_few_images(run, monkeypatch):
    """Counting them takes longer than recognising an image."""
    monkeypatch.setattr("digit_recognizer.recognition.session.usable_processors", lambda: 1 / 0)
    recognizer = Recognizer(run)
    assert len(recognizer.predict(random_images(1000)[:128]).labels) == 128
    with pytest.raises(ZeroDivisionError):
        recognizer.predict(random_images(1000)[:129])


def test_a_session_starts_no_threads_of_its_own(run):
    options = start_session(run / "model.onnx").get_session_options()
    assert options.intra_op_num_threads == 1
    assert (
        options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    )  # otherwise, it starts inter_op threads


def test_batches_are_computed_as_they_are_taken():
    session = CountingSession()
    batches = run_in_batches(session, ["count"], random_images(1000), threads=2)
    assert next(batches) == [128]
    assert session.calls <= 3
    assert [count for (count,) in batches] == [128] * 6 + [104]


def test_an_error_in_a_batch_reaches_the_caller():
    with pytest.raises(ValueError, match="too few"):
        list(run_in_batches(CountingSession(least=128), ["count"], random_images(1000), threads=2))


def test_no_images_give_no_predictions(recognizer):
    predictions = recognizer.predict(random_images(0))
    assert predictions.probabilities.shape == (0, 10)
    assert predictions.labels.shape == (0,)


def test_probabilities_are_probabilities(recognizer):
    probabilities = recognizer.predict(random_images(300)).probabilities
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_model_may_be_named_by_its_file(run, recognizer):
    images = random_images(5)
    found = Recognizer(str(run / "model.onnx"), threads=1).predict(images).probabilities
    np.testing.assert_allclose(found, recognizer.predict(images).probabilities, atol=1e-6)


def test_the_model_has_its_format_and_recipe_as_metadata(run):
    properties = {prop.key: prop.value for prop in onnx.load(run / "model.onnx").metadata_props}
    assert properties["format"] == "1"
    assert properties["recipe"] == "tiny"


class Unstable(torch.nn.Module):
    """Returns something else at each call."""

    calls = 0.0

    def forward(self, images):
        self.calls += 1
        return images.flatten(1)[:, :10] * self.calls


class Branching(torch.nn.Module):
    """Decides in Python by the values of the images."""

    def forward(self, images):
        return images.flatten(1)[:, :10] * (2 if images.sum().item() > 5 else 1)


@pytest.mark.parametrize(("name", "slow"), [("standard", False), ("alexnet28", True), (None, True)])
def test_an_export_that_takes_long_is_known_before(name, slow):
    with torch.device("meta"):  # without memory for the weights
        network = Unstable() if name is None else build_network(load_recipe(name))
        assert is_slow_to_export(Predictor(network)) == slow


@pytest.mark.parametrize(
    ("network", "facts"),
    [(Unstable(), ["model.onnx", "differ"]), (Branching(), ["cannot be written as ONNX"])],
)
def test_a_network_that_cannot_be_exported_is_refused_and_nothing_written(network, facts, tmp_path):
    target = tmp_path / "model.onnx"
    assert says(refusal(lambda: export_onnx(Predictor(network), target, random_images(4), "own")), *facts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 28, 28), np.float32), "float32 (2, 28, 28)"),
        (np.zeros((28, 28), np.uint8), "uint8 (28, 28)"),
        (np.zeros((2, 784), np.uint8), "uint8 (2, 784)"),
        (np.zeros((2, 28, 28, 1), np.uint8), "uint8 (2, 28, 28, 1)"),
        (np.zeros((2, 32, 32), np.uint8), "uint8 (2, 32, 32)"),
        ([[0]], "list"),
        (Digits(np.zeros((1, 28, 28), np.uint8)), "Digits"),
    ],
)
def test_images_of_another_kind_are_refused(images, found, recognizer):
    assert says(refusal(lambda: recognizer.predict(images)), f"got {found}")


def test_images_may_lie_in_memory_in_any_order(recognizer):
    images = random_images(10)
    expected = recognizer.predict(images).probabilities
    for view in (np.asfortranarray(images), np.repeat(images, 2, axis=0)[::2]):
        np.testing.assert_allclose(recognizer.predict(view).probabilities, expected, atol=1e-6)


def test_a_path_that_is_not_a_finished_run_is_named(tmp_path):
    missing, unfinished = tmp_path / "none", tmp_path / "run"
    assert says(refusal(lambda: Recognizer(missing)), missing)
    assert says(refusal(lambda: Recognizer(tmp_path)), tmp_path, "environment.json")
    stop = Event()
    stop.set()
    list(train(DIGITS, tiny(), unfinished, stop=stop))
    assert says(refusal(lambda: Recognizer(unfinished)), f"digits train --resume {unfinished}")


@pytest.mark.slow
def test_recognising_imports_no_torch_and_no_other_heavy_package(run):
    program = f"""
import sys
import numpy as np
from digit_recognizer import Recognizer
assert len(Recognizer({str(run)!r}).predict(np.zeros((3, 28, 28), np.uint8))) == 3
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    imported = set(done.stdout.split())
    assert "onnxruntime" in imported
    assert not imported & {"torch", "onnx", "sklearn", "scipy", "matplotlib", "pydantic", "typer", "rich"}
