"""The Open Inference Protocol, tested with Triton's client."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from digit_recognizer import Recognizer, load_digits
from helpers import says
from serving import serving

with warnings.catch_warnings(action="ignore"):
    from tritonclient import http as triton
    from tritonclient import utils as triton_utils

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the client
IMAGES = load_digits("bundled").images[:5]
OUTPUTS = ["probabilities", "is_digit", "labels"]


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


def test_service_and_model_are_live_and_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("letters")
    assert not client.is_model_ready("digits", "2")


def test_metadata_describe_inputs_and_outputs(client):
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("digits")
    assert metadata["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28]}]
    assert [each["name"] for each in metadata["outputs"]] == OUTPUTS


@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
def test_json_and_binary_tensors_give_the_librarys_predictions(binary_in, binary_out, client):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in OUTPUTS]
    result = client.infer("digits", images(binary=binary_in), outputs=outputs, request_id="seventeen")
    expected = Recognizer().predict(IMAGES)
    assert result.get_response()["id"] == "seventeen"
    assert result.as_numpy("labels").tolist() == expected.labels.tolist()
    assert result.as_numpy("labels").dtype == np.int64
    assert np.allclose(result.as_numpy("probabilities"), expected.probabilities, atol=1e-5)
    assert np.allclose(result.as_numpy("is_digit"), expected.is_digit, atol=1e-5)


def test_all_outputs_are_returned_by_default(client):
    result = client.infer("digits", images(binary=True), model_version="1")
    assert {each["name"] for each in result.get_response()["outputs"]} == set(OUTPUTS)


def test_concurrent_requests_get_their_own_answers(service):
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}", concurrency=4) as many:
        digits = load_digits("bundled").images[:40]
        tensors = [images(binary=True, values=digits[i : i + 1]) for i in range(40)]
        waiting = [many.async_infer("digits", each) for each in tensors]
        found = [int(each.get_result().as_numpy("labels")[0]) for each in waiting]
    assert found == Recognizer().predict(digits).labels.tolist()


@pytest.mark.parametrize(
    ("shape", "facts"), [((1, 28, 27), ["UINT8", "[1, 28, 27]", "[N, 28, 28]"]), ((9, 28, 28), [8, 9])]
)
def test_tensors_of_another_shape_are_refused(shape, facts, client):
    with pytest.raises(triton_utils.InferenceServerException) as raised:
        client.infer("digits", images(binary=True, values=np.zeros(shape, np.uint8)))
    assert says(str(raised.value), *facts)


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
def test_invalid_tensors_are_400(tensor, service):
    status, answer = ask(service, tensor)
    assert status == 400
    assert list(answer) == ["error"]


def test_data_may_be_flat_or_nested(service):
    flat = ask(service, {**TENSOR, "data": IMAGES[0].reshape(-1).tolist()})
    assert flat == ask(service, {**TENSOR, "data": IMAGES[:1].tolist()})
    assert flat[0] == 200


def test_an_unknown_output_is_refused(service):
    status, answer = ask(service, {**TENSOR, "data": [0] * 784}, outputs=[{"name": "letters"}])
    assert (status, "letters" in answer["error"]) == (400, True)
