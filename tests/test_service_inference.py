"""The Open Inference Protocol, asked by a client that others wrote: Triton's."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from digit_recognizer import Recognizer, load_digits
from serving import serving

with warnings.catch_warnings(action="ignore"):
    from tritonclient import http as triton
    from tritonclient import utils as triton_utils

pytestmark = pytest.mark.filterwarnings("ignore")  # the client's own
IMAGES = load_digits("bundled").images[:5]


@pytest.fixture(scope="module")
def service():
    with serving("--images", "8") as service:
        yield service


@pytest.fixture
def client(service):
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        yield client


def images(*, binary: bool, values: np.ndarray = IMAGES) -> list:
    tensor = triton.InferInput("images", list(values.shape), "UINT8")
    tensor.set_data_from_numpy(values, binary_data=binary)
    return [tensor]


def test_the_service_and_its_model_live_and_are_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("letters")
    assert not client.is_model_ready("digits", "2")


def test_metadata_say_what_goes_in_and_out(client):
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("digits")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert [each["name"] for each in metadata["outputs"]] == ["probabilities", "is_digit", "labels"]


@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
def test_every_form_of_tensors_gives_what_the_library_gives(binary_in, binary_out, client):
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary_out)
        for name in ("labels", "probabilities", "is_digit")
    ]
    result = client.infer("digits", images(binary=binary_in), outputs=outputs, request_id="seventeen")
    expected = Recognizer().predict(IMAGES)
    assert result.get_response()["id"] == "seventeen"
    assert result.as_numpy("labels").tolist() == expected.labels.tolist()
    assert result.as_numpy("labels").dtype == np.int64
    assert np.allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-5)
    assert np.allclose(result.as_numpy("is_digit"), expected.is_digit, atol=1e-5)


def test_without_a_word_about_outputs_all_come(client):
    result = client.infer("digits", images(binary=True), model_version="1")
    assert {each["name"] for each in result.get_response()["outputs"]} == {
        "probabilities",
        "is_digit",
        "labels",
    }


def test_many_requests_at_once_are_each_answered_with_their_own(service):
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}", concurrency=4) as many:
        digits = load_digits("bundled").images[:40]
        waiting = [
            many.async_infer("digits", images(binary=True, values=digits[i : i + 1])) for i in range(40)
        ]
        found = [int(each.get_result().as_numpy("labels")[0]) for each in waiting]
    assert found == Recognizer().predict(digits).labels.tolist()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((1, 28, 27), np.uint8), "got UINT8 'images' [1, 28, 27]"),
        (np.zeros((9, 28, 28), np.uint8), "expected 1 to 8 images, got 9"),
    ],
)
def test_tensors_of_another_shape_are_refused(values, sentence, client):
    with pytest.raises(triton_utils.InferenceServerException) as raised:
        client.infer("digits", images(binary=True, values=values))
    assert sentence in str(raised.value)


def ask(service, tensor: dict, **further) -> tuple[int, dict]:
    body = json.dumps({"inputs": [tensor], **further}).encode()
    status, answer, _ = service.ask("/v2/models/digits/infer", body)
    return status, json.loads(answer)


TENSOR = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8"}


@pytest.mark.parametrize(
    "tensor",
    [
        {**TENSOR},
        {**TENSOR, "data": [0] * 783},
        {**TENSOR, "data": [256] * 784},
        {**TENSOR, "data": ["0"] * 784},
        {**TENSOR, "data": [0.5] * 784},
        {**TENSOR, "data": [[0], [0, 1]]},
        {**TENSOR, "data": [10**30] * 784},
        {**TENSOR, "data": []},
        {**TENSOR, "data": [0] * 784, "datatype": "FP32"},
        {**TENSOR, "data": [0] * 784, "name": "pictures"},
        {**TENSOR, "shape": [0, 28, 28], "data": []},
        {**TENSOR, "shape": [-1, 28, 28], "data": [0] * 784},
        {**TENSOR, "parameters": {"binary_data_size": 784}},
        {**TENSOR, "parameters": {"binary_data_size": "many"}},
        {**TENSOR, "shape": [], "data": [0]},
    ],
    ids=str,
)
def test_tensors_that_are_wrong_are_one_sentence(tensor, service):
    status, answer = ask(service, tensor)
    assert status == 400
    assert list(answer) == ["error"]


def test_data_may_be_flat_or_in_rows(service):
    flat = ask(service, {**TENSOR, "data": IMAGES[0].reshape(-1).tolist()})
    assert flat == ask(service, {**TENSOR, "data": IMAGES[:1].tolist()})
    assert flat[0] == 200


def test_an_output_that_there_is_none_of_is_refused(service):
    status, answer = ask(service, {**TENSOR, "data": [0] * 784}, outputs=[{"name": "letters"}])
    assert (status, "letters" in answer["error"]) == (400, True)
