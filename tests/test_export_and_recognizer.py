"""`model.onnx` and the recognizer: torch is the oracle, and what is no model is refused."""

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
from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.onnx_export import export_onnx
from digit_recognizer.networks.predictor import Predictor, scale
from digit_recognizer.recipes import load_recipe
from digit_recognizer.recipes.layers import ACTIVATIONS
from digit_recognizer.recognition import Recognizer
from digit_recognizer.recognition.session import run_in_batches, start_session
from digit_recognizer.training import train
from helpers import make_digits, tiny

DIGITS = make_digits()
EVERY_WORD = (
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
    for _ in train(DIGITS, tiny(network=EVERY_WORD, epochs=1), folder):
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


def refusal(model) -> str:
    with pytest.raises(DigitsError) as error:
        Recognizer(model)
    assert "\n" not in str(error.value)
    return str(error.value)


class CountingSession:
    """Says how many images it was given, and counts how often it was asked."""

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
def test_the_model_says_what_the_weights_say_in_torch(count, run, recognizer):
    network = build_network(load_recipe(run / "recipe.toml"))
    network.load_state_dict(load_file(run / "model.safetensors"))
    images = random_images(count)
    found = recognizer.predict(images).probabilities
    np.testing.assert_allclose(found, probabilities_of(network, images), atol=1e-4)


def test_an_image_is_read_the_same_alone_and_among_others(recognizer):
    images = random_images(257)
    together = recognizer.predict(images).probabilities
    alone = np.concatenate([recognizer.predict(image[None]).probabilities for image in images[:20]])
    np.testing.assert_allclose(together[:20], alone, atol=1e-5)


def test_threads_change_neither_answers_nor_their_order(run):
    alone = Recognizer(run, threads=1).predict(random_images(1000)).probabilities
    together = Recognizer(run, threads=3).predict(random_images(1000)).probabilities
    np.testing.assert_array_equal(together, alone)


def test_few_images_do_not_look_at_the_machine(run, monkeypatch):
    """It takes longer than to recognise an image."""
    monkeypatch.setattr("digit_recognizer.recognition.session.usable_processors", lambda: 1 / 0)
    recognizer = Recognizer(run)
    assert len(recognizer.predict(random_images(1000)[:128]).labels) == 128
    with pytest.raises(ZeroDivisionError):
        recognizer.predict(random_images(1000)[:129])


def test_a_session_starts_no_threads_of_its_own(run):
    options = start_session(run / "model.onnx").get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL  # else inter_op starts some


def test_batches_are_not_all_computed_before_the_first_is_taken():
    session = CountingSession()
    batches = run_in_batches(session, ["count"], random_images(1000), threads=2)
    assert next(batches) == [128]
    assert session.calls <= 3
    assert [count for (count,) in batches] == [128] * 6 + [104]


def test_an_error_in_a_batch_comes_to_the_caller():
    with pytest.raises(ValueError, match="too few"):
        list(run_in_batches(CountingSession(least=128), ["count"], random_images(1000), threads=2))


def test_no_images_give_no_predictions(recognizer):
    predictions = recognizer.predict(random_images(0))
    assert predictions.probabilities.shape == (0, 10)
    assert predictions.labels.shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        *[(f"conv 3 3x3 {name}", f"dense 20 {name}", name, "dense 10") for name in ACTIVATIONS],
        ("avgpool 2", "conv 10 3x3 stride 3", "global-avgpool"),
        ("conv 8 4x4 same stride 3", "global-avgpool", "batchnorm", "dense 10"),
        ("dense 10",),
    ],
    ids="; ".join,
)
def test_every_word_is_the_same_in_the_model_as_in_torch(lines, tmp_path):
    torch.manual_seed(3)
    network = build_network(tiny(network=lines))
    for norm in [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm1d)]:
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    export_onnx(Predictor(network), tmp_path / "model.onnx", DIGITS.images[:8], "words")
    for images in (random_images(1), random_images(33)):
        found = Recognizer(tmp_path / "model.onnx").predict(images).probabilities
        np.testing.assert_allclose(found, probabilities_of(network, images), atol=1e-4)


def test_probabilities_are_probabilities(recognizer):
    probabilities = recognizer.predict(random_images(300)).probabilities
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_model_may_be_named_by_its_file(run, recognizer):
    images = random_images(5)
    found = Recognizer(str(run / "model.onnx"), threads=1).predict(images).probabilities
    np.testing.assert_allclose(found, recognizer.predict(images).probabilities, atol=1e-6)


def test_the_model_says_what_it_is(run):
    properties = {prop.key: prop.value for prop in onnx.load(run / "model.onnx").metadata_props}
    assert properties["format"] == "1"
    assert properties["recipe"] == "tiny"


def test_a_model_that_differs_from_its_network_is_not_written(tmp_path):
    class Moody(torch.nn.Module):
        """Says something else each time it is asked."""

        def __init__(self):
            super().__init__()
            self.asked = 0.0

        def forward(self, images):
            self.asked += 1
            return images.flatten(1)[:, :10] * self.asked

    with pytest.raises(DigitsError, match="would differ from the network by"):
        export_onnx(Predictor(Moody()), tmp_path / "model.onnx", random_images(4), "moody")
    assert not list(tmp_path.iterdir())


def test_a_network_that_onnx_cannot_express_is_refused(tmp_path):
    class Twisted(torch.nn.Module):
        """Decides by what it sees, in Python."""

        def forward(self, images):
            return images.flatten(1)[:, :10] * (2 if images.sum().item() > 5 else 1)

    with pytest.raises(DigitsError, match="this network cannot be written as ONNX: "):
        export_onnx(Predictor(Twisted()), tmp_path / "model.onnx", random_images(4), "twisted")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 28, 28), np.float32), r"got float32 \(2, 28, 28\)"),
        (np.zeros((28, 28), np.uint8), r"got uint8 \(28, 28\)"),
        (np.zeros((2, 784), np.uint8), r"got uint8 \(2, 784\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"got uint8 \(2, 28, 28, 1\)"),
        (np.zeros((2, 32, 32), np.uint8), r"got uint8 \(2, 32, 32\)"),
        ([[0]], "got list"),
        (Digits(np.zeros((1, 28, 28), np.uint8)), "got Digits"),
    ],
)
def test_images_of_another_kind_are_refused(images, found, recognizer):
    with pytest.raises(DigitsError, match=found):
        recognizer.predict(images)


def test_images_may_lie_in_memory_in_any_order(recognizer):
    images = random_images(10)
    expected = recognizer.predict(images).probabilities
    for view in (np.asfortranarray(images), np.repeat(images, 2, axis=0)[::2]):
        np.testing.assert_allclose(recognizer.predict(view).probabilities, expected, atol=1e-6)


def test_a_path_that_does_not_exist_is_named(tmp_path):
    assert refusal(tmp_path / "none").startswith(f"there is no run folder {tmp_path / 'none'}")


def test_a_folder_that_is_no_run_is_named(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path} is no run folder: it has no environment.json")


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    stop = Event()
    stop.set()
    list(train(DIGITS, tiny(), tmp_path / "run", stop=stop))
    expected = f"{tmp_path / 'run'} is not finished: go on with 'digits train --resume {tmp_path / 'run'}'"
    assert refusal(tmp_path / "run") == expected


@pytest.mark.slow
def test_recognising_imports_neither_torch_nor_what_else_is_heavy(run):
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
