"""The service: its answers, and its errors."""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import time
from urllib.parse import quote

import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from digit_recognizer import Recognizer, load_digits
from digit_recognizer.corrections import CorrectionStore
from digit_recognizer.explain.activations import open_activations
from digit_recognizer.service import create_app, make_settings
from digit_recognizer.service.observability import configure_logging
from helpers import refusal, says
from pictures import encoded, pdf_of, written

RAW = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
SEVEN = load_digits("bundled").images[7]
BLANK = bytes(784)


@pytest.fixture(scope="module")
def client():
    with service(body_bytes=200_000, images=20) as client:
        yield client


def service(**settings) -> TestClient:
    settings = {"request_seconds": 60, **settings}  # the tests share the processor
    app = create_app(make_settings(**settings))
    return TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False)


def png(page: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(page).save(stream, kind)
    return stream.getvalue()


PNG_42 = png(written("42"))


def error(response, status: int) -> str:
    assert response.status_code == status, response.text
    (sentence,) = response.json().values()
    assert response.json() == {"error": sentence}
    assert "\n" not in sentence
    return sentence


# Reading


def test_a_picture_is_read_as_the_library_reads_it(client):
    page = written("17 52")
    answer = client.post("/v1/read", content=png(page)).json()
    reading = Recognizer().read(page)
    assert answer["text"] == reading.text == "17 52"
    assert (answer["width"], answer["height"]) == (page.shape[1], page.shape[0])
    assert answer["blank"] is False
    digits = [digit for line in answer["lines"] for number in line["numbers"] for digit in number["digits"]]
    for found, expected in zip(digits, reading.digits, strict=True):
        assert found["digit"] == expected.digit
        assert found["confidence"] == pytest.approx(expected.confidence, abs=1e-4)
        assert found["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)
        assert "image" not in found


def test_images_true_returns_what_the_network_saw(client):
    answer = client.post("/v1/read?images=true", content=png(written("7"))).json()
    (digit,) = answer["lines"][0]["numbers"][0]["digits"]
    image = np.frombuffer(base64.b64decode(digit["image"]), np.uint8)
    assert Recognizer().predict(image.reshape(1, 28, 28)).labels.tolist() == [7]


def test_images_true_returns_a_guess_for_a_rejected_mark(client):
    hatching = np.full((120, 120), 255, np.uint8)
    for start in (30, 50, 70):
        hatching[start : start + 8, 20:100] = hatching[20:100, start : start + 8] = 0
    answer = client.post("/v1/read?images=true", content=png(hatching)).json()
    mark = max(answer["rejected"], key=lambda each: each["width"])
    box = {name: mark[name] for name in ("x", "y", "width", "height")}
    assert (answer["text"], mark["guess"]["box"]) == ("", box)
    assert len(base64.b64decode(mark["guess"]["image"])) == 28 * 28
    assert mark["guess"]["is_digit"] < 0.8
    plain = client.post("/v1/read", content=png(hatching)).json()["rejected"]
    described = {"reason": "probably not a digit", "text": mark["text"], "confidence": mark["confidence"]}
    assert {**box, **described} in plain


def test_a_form_gives_the_same_answer_as_the_bytes(client):
    picture = png(written("42"))
    form = client.post("/v1/read", files={"picture": ("a.txt", picture, "text/plain")}).json()
    raw = client.post("/v1/read", content=picture).json()
    assert {**form, "seconds": 0} == {**raw, "seconds": 0}


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"file": PNG_42}},
        {"files": {"": PNG_42}},
        {"files": {"upload": PNG_42}, "data": {"title": "a number", "picture": "a text"}},
        {"files": {"other": b"no picture", "picture": PNG_42}},
    ],
    ids=["file", "no name", "among texts", "among files"],
)
def test_a_form_may_name_its_only_file_as_it_likes(form, client):
    assert client.post("/v1/read", **form).json()["text"] == "42"


BASE64_42 = base64.b64encode(PNG_42).decode()
URL_SAFE_42 = base64.urlsafe_b64encode(PNG_42).decode()


@pytest.mark.parametrize(
    "image",
    [
        f"data:image/png;base64,{BASE64_42}",
        f"data:;base64,{BASE64_42}",
        f"data:text/plain;charset=utf-8;BASE64,{quote(BASE64_42)}",
        f"data:image/png,{quote(PNG_42)}",
        BASE64_42,
        BASE64_42.rstrip("="),
        base64.encodebytes(PNG_42).decode(),
        URL_SAFE_42,
        f" {BASE64_42} ",
    ],
    ids=[
        "data URL",
        "no type",
        "escaped",
        "no base64",
        "base64",
        "no padding",
        "lines",
        "URL-safe",
        "spaces",
    ],
)
@pytest.mark.parametrize("headers", [JSON, RAW, {"Content-Type": "application/x-www-form-urlencoded"}])
def test_a_picture_in_json_is_read_as_its_bytes(image, headers, client):
    answer = client.post("/v1/read?images=true", content=json.dumps({"image": image}), headers=headers)
    raw = client.post("/v1/read?images=true", content=PNG_42)
    assert {**answer.json(), "seconds": 0} == {**raw.json(), "seconds": 0}


@pytest.mark.parametrize(
    ("body", "status", "facts"),
    [
        ("{", 400, ["JSON"]),
        ("[]", 400, ["object"]),
        ('"data:image/png;base64,AAAA"', 400, ["object"]),
        ("{}", 400, ["image"]),
        ('{"image": ""}', 400, ["image"]),
        ('{"image": 7}', 400, ["image", "string"]),
        ('{"image": "data:image/png;base64,"}', 400, ["no picture"]),
        ('{"image": "https://example.org/7.png"}', 400, ["image", "base64", "data:image/png"]),
        ('{"image": "é"}', 400, ["image", "base64"]),
        ('{"image": "A"}', 400, ["image", "base64"]),
        ('{"image": "AAAA"}', 422, ["not a picture", "PNG"]),
        ('{"image": "AAAA", "digits": 2}', 400, ["digits"]),
    ],
)
def test_json_without_a_picture_is_refused(body, status, facts, client):
    answer = client.post("/v1/read", content=body.encode(), headers=JSON)
    assert says(error(answer, status), *facts)


def test_bytes_that_are_called_json_are_read_all_the_same(client):
    assert client.post("/v1/read", content=PNG_42, headers=JSON).json()["text"] == "42"


def test_heic_is_read(client):
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(written("42")).convert("RGB")).save(stream, quality=95)
    for headers in (RAW, {"Content-Type": "image/heic"}):
        assert client.post("/v1/read", content=stream.getvalue(), headers=headers).json()["text"] == "42"


def test_a_page_without_ink_is_blank(client):
    answer = client.post("/v1/read", content=png(np.full((50, 80), 255, np.uint8))).json()
    assert (answer["text"], answer["lines"], answer["rejected"], answer["blank"]) == ("", [], [], True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "PPM", "PDF"])
def test_the_content_tells_the_format(kind, client):
    assert client.post("/v1/read", content=png(written("42"), kind), headers=RAW).json()["text"] == "42"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (png(np.zeros((8, 8), np.uint8), "TGA"), "PNG, JPEG, WebP"),
        (b"%PDF-1.7\n", "damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG, JPEG, WebP"),
        (png(written("42"))[:300], "damaged"),
    ],
    ids=["tga", "pdf", "svg", "truncated"],
)
def test_other_formats_and_damaged_pictures_are_422(content, fact, client):
    assert fact in error(client.post("/v1/read", content=content), 422)


def test_a_picture_with_too_many_pixels_is_422():
    with service(pixels=10_000) as small:
        assert "0.01 megapixels" in error(
            small.post("/v1/read", content=png(np.zeros((101, 100), np.uint8))), 422
        )


def test_on_request_a_picture_with_too_many_pixels_is_reduced():
    page = written("42", height=80)
    with service(pixels=page.size - 1) as small:
        for kind in ("PNG", "JPEG", "TIFF", "BMP", "PPM", "GIF", "JPEG2000"):
            picture = png(page, kind)
            assert "megapixels" in error(small.post("/v1/read", content=picture), 422)
            answer = small.post("/v1/read?reduce=true", content=picture).json()
            assert (answer["text"], answer["width"], answer["height"]) == ("42", *page.shape[::-1]), kind
            box = answer["lines"][0]["numbers"][0]["box"]
            assert box["x"] + box["width"] > page.shape[1] / 2


@pytest.mark.parametrize(
    ("picture", "facts"),
    [
        (png(np.zeros((400, 401), np.uint8)), ["0.16 megapixels", "PNG", "at most 0.04", "JPEG"]),
        (encoded(Image.new("1", (12_501, 12_000)), "PNG"), ["150 megapixels"]),
        (encoded(Image.new("L", (16_000, 16_000)), "JPEG"), ["250 megapixels"]),
    ],
    ids=["more memory than the limit allows", "a huge PNG", "a huge JPEG"],
)
def test_what_is_too_large_to_be_reduced_is_422(picture, facts):
    with service(pixels=10_000, body_bytes=5_000_000) as small:
        assert says(error(small.post("/v1/read?reduce=true", content=picture), 422), *facts)


@pytest.mark.slow
def test_on_request_a_photo_of_200_megapixels_is_read():
    large = Image.new("L", (16_320, 12_240), 235)
    number = Image.fromarray(written("42"))
    large.paste(number.resize((8 * number.width, 8 * number.height)), (6000, 4000))
    with service() as phone:
        assert "150 megapixels" in error(phone.post("/v1/read", content=encoded(large, "JPEG")), 422)
        answer = phone.post("/v1/read?reduce=true", content=encoded(large, "JPEG")).json()
    assert (answer["text"], answer["width"], answer["height"]) == ("42", 16_320, 12_240)


def test_a_large_picture_is_reduced_and_its_boxes_are_in_its_own_pixels(client):
    large = Image.new("L", (8000, 4000), 235)
    number = Image.fromarray(written("42"))
    large.paste(number.resize((4 * number.width, 4 * number.height)), (3000, 1200))
    answer = client.post("/v1/read", content=encoded(large, "PNG")).json()
    assert (answer["text"], answer["width"], answer["height"]) == ("42", 8000, 4000)
    assert answer["lines"][0]["numbers"][0]["box"]["x"] > 3000


TWO_PAGES = [written("17"), written("52")]
PAGED = {
    "PDF": pdf_of(*TWO_PAGES),
    "TIFF": encoded(
        Image.fromarray(TWO_PAGES[0]), "TIFF", save_all=True, append_images=[Image.fromarray(TWO_PAGES[1])]
    ),
}


@pytest.mark.parametrize("kind", PAGED)
@pytest.mark.parametrize(("page", "text"), [("", "17"), ("?page=1", "17"), ("?page=2", "52")])
def test_a_page_is_read(kind, page, text, client):
    answer = client.post(f"/v1/read{page}", content=PAGED[kind]).json()
    assert (answer["text"], answer["pages"]) == (text, 2)


@pytest.mark.parametrize("kind", PAGED)
def test_a_page_that_a_picture_does_not_have_is_422(kind, client):
    assert says(error(client.post("/v1/read?page=3", content=PAGED[kind]), 422), "page 3", "1 to 2")


@pytest.mark.parametrize(
    ("query", "text", "value", "sure"),
    [
        ("", "1750", "1750", True),
        ("digits=4", "1750", "1750", True),
        ("digits=5", "1750", "1750", False),
        ("pattern=dd%3F", "", None, None),
        ("pattern=d{2,6}&threshold=0.99", "1750", "1750", None),
        ("value=1850&value=1750&decimal_mark=,", "1750", "1750", True),
        ("value=99999", "1750", "1750", False),
        ("threshold=1", "1750", "1750", False),
    ],
)
def test_numbers_are_restricted_as_on_the_command_line(query, text, value, sure, client):
    answer = client.post(f"/v1/read?{query}", content=png(written("1750"))).json()
    (number,) = answer["lines"][0]["numbers"]
    if text:
        assert (number["text"], number["value"]) == (text, value)
    assert len(number["text"]) <= 4
    assert sure is None or number["sure"] is sure


@pytest.mark.parametrize(
    ("query", "facts"),
    [
        ("page=0", ["page", "1"]),
        ("page=two", ["page", "integer"]),
        ("pattern=dx", ["'x' at place 2"]),
        ("pattern=", ["pattern", "empty"]),
        ("pattern=d{2,1}", ["2 to 1 times"]),
        (f"pattern={'d' * 101}", ["pattern", "100"]),
        ("pattern=d{100}d{100}d", ["too long"]),
        ("digits=0", ["digits", "1"]),
        ("digits=101", ["digits", "100"]),
        ("value=seven", ["'seven'"]),
        ("value=", ["''"]),
        ("pattern=d&digits=2", ["pattern, digits and value"]),
        ("value=7&digits=1", ["pattern, digits and value"]),
        ("decimal_mark=;", ["decimal_mark", "auto"]),
        ("threshold=2", ["threshold", "1"]),
        ("threshold=nan", ["threshold"]),
    ],
)
def test_a_parameter_that_means_nothing_is_400(query, facts, client):
    assert says(error(client.post(f"/v1/read?{query}", content=png(written("7"))), 400), *facts)


FORM = "multipart/form-data"


@pytest.mark.parametrize(
    "request_of",
    [
        {"content": b""},
        {"files": {"one": b"x", "two": b"y"}},
        {"files": [("picture", b"x"), ("picture", b"y")]},
        {"data": {"picture": "text"}, "files": {"x": b""}},
        {"content": b"--x\r\nContent-", "headers": {"Content-Type": f"{FORM}; boundary=x"}},
        {"content": b"12345", "headers": {"Content-Type": FORM}},
        {"url": "/v1/read?images=perhaps", "content": png(written("7"))},
    ],
    ids=["nothing", "two files", "two pictures", "no name", "cut off", "no boundary", "parameter"],
)
def test_a_request_of_the_wrong_form_is_400(request_of, client):
    error(client.post(**{"url": "/v1/read", **request_of}), 400)


# Predicting and explaining


def test_json_and_bytes_are_predicted_as_the_library_predicts_them(client):
    images = load_digits("bundled").images[:20]
    expected = Recognizer().predict(images)
    raw = client.post("/v1/predict", content=images.tobytes(), headers=RAW).json()
    assert raw == client.post("/v1/predict", json={"images": images.tolist()}).json()
    assert raw["labels"] == expected.labels.tolist()
    for name in ("probabilities", "is_digit", "confidence"):
        assert np.allclose(raw[name], getattr(expected, name), atol=1e-5)


@pytest.mark.parametrize(
    "images", [[], [[]], [[[0] * 28] * 27], [[[0] * 27] * 28], [[[256] * 28] * 28], [[[-1] * 28] * 28]]
)
def test_images_of_another_shape_or_range_are_400(images, client):
    assert error(client.post("/v1/predict", json={"images": images}), 400).startswith("images")


@pytest.mark.parametrize("pixel", ["0", "true", "null", "1.5", "1e400", "NaN"])
def test_only_integers_are_pixels(pixel, client):
    row = f"[{','.join([pixel] * 28)}]"
    body = f'{{"images": [[{",".join([row] * 28)}]]}}'
    response = client.post("/v1/predict", content=body, headers=JSON)
    assert response.status_code == (200 if pixel == "0" else 400)


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "null", '{"images": "x"}', '{"x": 1}', "\ud800"])
def test_invalid_json_is_400(body, client):
    error(client.post("/v1/predict", content=body.encode("utf-8", "surrogatepass"), headers=JSON), 400)


@pytest.mark.parametrize("count", [0, 1, 783, 785])
def test_bytes_that_are_no_whole_images_are_400(count, client):
    error(client.post("/v1/predict", content=bytes(count), headers=RAW), 400)


def test_too_many_images_and_other_types_are_refused(client):
    sentence = error(client.post("/v1/predict", content=bytes(21 * 784), headers=RAW), 413)
    assert says(sentence, 20, 21)
    error(client.post("/v1/explain", content=2 * BLANK, headers=RAW), 400)
    error(client.post("/v1/predict", content=b"x", headers={"Content-Type": "text/plain"}), 415)


def test_an_explanation_has_every_convolution(client):
    answer = client.post("/v1/explain", content=SEVEN.tobytes(), headers=RAW).json()
    assert answer["label"] == int(Recognizer().predict(SEVEN[None]).labels[0])
    assert [layer["name"] for layer in answer["layers"]] == ["conv1", "conv2", "conv3"]
    for layer in answer["layers"]:
        maps = np.frombuffer(base64.b64decode(layer["maps"]), np.uint8)
        assert maps.size == layer["channels"] * layer["height"] * layer["width"]
        assert maps.max() == 255
        assert layer["maximum"] > 0
    assert len(base64.b64decode(answer["saliency"])) == 784
    answer = client.post("/v1/explain?saliency=false", content=BLANK, headers=RAW).json()
    assert answer["saliency"] is None


def test_filters_are_those_of_the_graph(client):
    first = client.get("/v1/filters").json()["layers"][0]
    kernels = np.frombuffer(base64.b64decode(first["kernels"]), np.uint8)
    assert kernels.size == first["outputs"] * first["height"] * first["width"]
    assert {int(kernels.min()), int(kernels.max())} & {1, 255}
    model = open_activations(Recognizer().path)
    weights = model.filters(model.convolutions[0]).mean(axis=1).reshape(-1)
    decoded = (kernels.astype(float) - 128) / 127 * first["scale"]
    assert np.allclose(decoded, weights, atol=first["scale"] / 127)


def decoded(answer, key, scales):
    """Return values with a sign from bytes in base64, a row for each scale."""
    levels = np.frombuffer(base64.b64decode(answer[key]), np.uint8).astype(float).reshape(len(scales), -1)
    return (levels - 128) / 127 * np.array(scales)[:, None]


def test_maps_can_be_computed_from_what_is_answered(client):
    layers = client.get("/v1/filters").json()["layers"]
    explained = client.post("/v1/explain", content=SEVEN.tobytes(), headers=RAW).json()
    inputs = {"image": SEVEN[None] / 255}
    for layer, answer in zip(layers, explained["layers"], strict=True):
        shape = answer["channels"], answer["height"], answer["width"]
        maps = (
            np.frombuffer(base64.b64decode(answer["maps"]), np.uint8).reshape(shape) / 255 * answer["maximum"]
        )
        inputs[layer["name"]] = maps
        assert (layer["padding"], layer["dilation"], layer["groups"]) == ([0, 0], [1, 1], 1)
        weights = decoded(layer, "weights", layer["weight_scales"])
        weights = weights.reshape(layer["outputs"], layer["inputs"], layer["height"], layer["width"])
        size = layer["height"], layer["width"]
        windows = np.lib.stride_tricks.sliding_window_view(inputs[layer["input"]], size, axis=(1, 2))
        down, right = layer["stride"]
        sums = np.einsum("oihw,iyxhw->oyx", weights, windows[:, ::down, ::right])
        sums += np.array(layer["bias"])[:, None, None]
        assert np.abs(np.maximum(sums, 0) - maps).max() < 0.025 * answer["maximum"]
        assert answer["inputs"] is None


def test_scores_can_be_computed_from_what_is_answered(client):
    last = client.get("/v1/filters").json()["last_layer"]
    explained = client.post("/v1/explain?saliency=false", content=SEVEN.tobytes(), headers=RAW).json()
    scores = decoded(last, "weights", last["weight_scales"]) @ explained["hidden"] + last["bias"]
    assert (last["inputs"], last["outputs"]) == (128, 11)
    assert scores[:10].argmax() == explained["label"]


def test_the_model_card_has_the_limits(client):
    card = client.get("/v1/model").json()
    assert (card["source"], card["corrections"]) == ("shipped", False)
    assert card["limits"] == {"body_bytes": 200_000, "pixels": 150_000_000, "images": 20}


@pytest.mark.parametrize(
    ("run", "layers"),
    [("two convolutions", ["conv1", "conv2"]), ("hidden", [])],
    ids=str,
)
def test_a_run_is_served_without_detecting_non_digits(run, layers, trained):
    with service(model=trained(run)) as own:
        assert own.post("/v1/predict", content=BLANK, headers=RAW).json()["is_digit"] is None
        assert own.get("/v1/model").json()["source"] == "run"
        for answer in (own.post("/v1/explain", content=BLANK, headers=RAW), own.get("/v1/filters")):
            assert [layer["name"] for layer in answer.json()["layers"]] == layers


# Limits


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_413_whatever_its_headers_say(announced, client):
    content = bytes(200_001) if announced else (bytes(50_000) for _ in range(5))
    assert "200000" in error(client.post("/v1/read", content=content), 413)


def test_a_compressed_body_is_415(client):
    headers = {**RAW, "Content-Encoding": "gzip"}
    error(client.post("/v1/predict", content=gzip.compress(BLANK), headers=headers), 415)


def test_too_many_requests_in_progress_are_503():
    with service(in_flight=1) as busy:
        busy.app.state.service.in_flight = 1  # type: ignore[attr-defined]
        response = busy.post("/v1/predict", content=BLANK, headers=RAW)
        error(response, 503)
        assert response.headers["Retry-After"] == "1"
        assert busy.get("/v2/health/live").status_code == 200


def test_an_answer_that_takes_too_long_is_504():
    with service(request_seconds=0.05) as slow:
        slow.app.state.model._batcher._predict = lambda _images: time.sleep(0.3)  # type: ignore[attr-defined]
        error(slow.post("/v1/predict", content=BLANK, headers=RAW), 504)
        assert slow.app.state.service.in_flight == 0  # type: ignore[attr-defined]


def test_an_internal_error_is_500_and_its_cause_is_logged_only(caplog):
    with service() as broken:
        broken.app.state.model._batcher._predict = lambda _images: 1 / 0  # type: ignore[attr-defined]
        sentence = error(broken.post("/v1/predict", content=BLANK, headers=RAW), 500)
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in sentence.lower()


def test_a_token_is_needed_except_for_the_page_and_health():
    with service(token="secret") as closed:
        for path in ("/v1/model", "/metrics", "/v2/models/digits", "/nowhere"):
            response = closed.get(path)
            assert "token" in error(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/", "/docs", "/static/docs.js", "/v2/health/live", "/v2/health/ready", "/openapi.json"):
            assert closed.get(path).status_code == 200
        for token, status in (("wrong", 401), ("secret", 200)):
            answer = closed.get("/v1/model", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status


LOCAL = ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000", "a.localhost", ""]
FOREIGN = ["example.org", "a.org:80", "192.168.0.7", "localhost.example.org", "[2001:db8::1]:80", "[", ":"]


@pytest.mark.parametrize("host", LOCAL)
def test_clients_may_use_any_name_of_this_machine(host, client):
    assert client.get("/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/v1/model", "/v2/health/live"])
def test_unknown_host_names_are_421(host, path, client):
    assert "--allow-host" in error(client.get(path, headers={"Host": host}), 421)


@pytest.mark.parametrize(
    "settings",
    [{"allow_host": "other.test, Example.org"}, {"token": "secret"}, {"host": "0.0.0.0", "no_token": True}],
)
def test_other_host_names_are_allowed_by_a_setting_or_where_others_may_connect(settings):
    with service(**settings) as known:
        headers = {"Host": "example.org:8000", "Authorization": "Bearer secret"}
        assert known.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/static/docs.js", "/v1/model", "/nowhere", "/metrics"])
def test_every_response_has_the_security_headers(path, client):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_only_allowed_origins_get_cors_headers():
    with service(allow_origin="https://example.org") as shared:
        for origin, allowed in (
            ("https://example.org", "https://example.org"),
            ("https://example.com", None),
        ):
            response = shared.get("/v1/model", headers={"Origin": origin})
            assert response.headers.get("Access-Control-Allow-Origin") == allowed


def test_unknown_paths_and_methods_are_errors_of_the_same_form(client):
    error(client.get("/nowhere"), 404)
    response = client.get("/v1/read")
    error(response, 405)
    assert response.headers["Allow"] == "POST"
    assert client.put("/v1/corrections").headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py"])
def test_no_path_leads_out_of_the_static_files(path, client):
    assert client.get(path).status_code == 404


# Health, metrics, logs


def test_a_draining_service_is_not_ready_but_still_answers():
    with service() as leaving:
        assert leaving.get("/v2/health/ready").json() == {"ready": True}
        leaving.app.state.service.draining = True  # type: ignore[attr-defined]
        response = leaving.get("/v2/health/ready")
        error(response, 503)
        assert response.headers["Connection"] == "close"
        assert leaving.get("/v2/health/live").json() == {"live": True}
        assert leaving.post("/v1/predict", content=BLANK, headers=RAW).status_code == 200


def test_requests_are_counted_by_declared_route():
    with service() as counted:
        counted.get("/v1/model")
        counted.get("/made-up-by-a-client")
        text = counted.get("/metrics").text
    assert 'digits_http_requests_total{method="GET",route="/v1/model",status="200"} 1.0' in text
    assert 'route="other",status="404"' in text
    assert "made-up" not in text


def test_the_log_has_each_request_but_not_its_content(capsys):
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        configure_logging(as_json=True)
        with service(log_json=True) as logged:
            logged.post("/v1/read?images=true", content=png(written("7")))
    finally:
        root.handlers, root.level = before
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "/v1/read" in each]
    entry = json.loads(line)
    assert {"client", "seconds", "time", "level", "bytes_sent"} < set(entry)
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/read", 200)
    assert entry["bytes_received"] == len(png(written("7")))
    assert len(line) < 400


# Corrections


@pytest.fixture
def keeping(tmp_path):
    with service(corrections=True, corrections_file=tmp_path / "c.sqlite") as client:
        yield client


def correction(**changes) -> dict:
    return {"image": base64.b64encode(SEVEN.tobytes()).decode(), "label": 7, **changes}


def test_corrections_are_off_by_default(client):
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/1")):
        assert "--corrections" in error(client.request(method, f"/v1/corrections{path}"), 404)
    for method, path in (("POST", ""), ("DELETE", "/1")):
        assert "--corrections" in error(client.request(method, f"/v1/number-corrections{path}"), 404)


def test_corrections_are_stored_counted_and_deleted(keeping):
    assert keeping.get("/v1/model").json()["corrections"] is True
    first = keeping.post("/v1/corrections", json=correction(read_as=1))
    second = keeping.post("/v1/corrections", json=correction(label=None))
    assert (first.status_code, second.status_code) == (201, 201)
    assert keeping.get("/v1/corrections").json() == {"count": 2}
    assert keeping.delete(f"/v1/corrections/{first.json()['id']}").status_code == 204
    assert keeping.get("/v1/corrections").json() == {"count": 1}
    for number, status in ((first.json()["id"], 404), (10**30, 404), ("x", 400)):
        error(keeping.delete(f"/v1/corrections/{number}"), status)


def test_a_correction_that_another_site_could_send_is_415(keeping):
    answer = keeping.post("/v1/corrections", content=b"{}", headers={"Content-Type": "text/plain"})
    assert says(error(answer, 415), "application/json", "text/plain")


def number_correction(**changes) -> dict:
    picture = base64.b64encode(png(written("18"))).decode()
    images = [correction()["image"], base64.b64encode(BLANK).decode()]
    return {"picture": picture, "text": "13", "read_as": "18", "images": images, **changes}


def test_corrections_of_numbers_are_stored_counted_and_deleted(keeping, tmp_path):
    keeping.post("/v1/corrections", json=correction())
    answer = keeping.post("/v1/number-corrections", json=number_correction())
    assert (answer.status_code, answer.json()) == (201, {"id": 1})
    assert keeping.post("/v1/number-corrections", json=number_correction(images=None)).json() == {"id": 2}
    assert keeping.get("/v1/corrections").json() == {"count": 3}
    kept, without = CorrectionStore(tmp_path / "c.sqlite").numbers()
    np.testing.assert_array_equal(kept.picture, written("18"))
    assert (kept.text, kept.read_as, [digit for _, digit in kept.digits]) == ("13", "18", [1, 3])
    assert (without.images, without.digits) == (None, [])
    assert keeping.delete("/v1/number-corrections/1").status_code == 204
    assert keeping.get("/v1/corrections").json() == {"count": 2}
    error(keeping.delete("/v1/number-corrections/1"), 404)


def test_of_a_coloured_picture_of_a_number_only_the_grey_channel_is_stored(keeping, tmp_path):
    colours = Image.fromarray(written("18")).convert("RGB")
    picture = base64.b64encode(encoded(colours, "JPEG")).decode()
    assert keeping.post("/v1/number-corrections", json=number_correction(picture=picture)).status_code == 201
    (kept,) = CorrectionStore(tmp_path / "c.sqlite").numbers()
    assert (kept.picture.dtype, kept.picture.shape) == (np.uint8, written("18").shape)


@pytest.mark.parametrize(
    ("changes", "status", "fact"),
    [
        ({"text": "13 €"}, 400, "text"),
        ({"text": ""}, 400, "text"),
        ({"text": None}, 400, "text"),
        ({"read_as": "l8"}, 400, "read_as"),
        ({"images": []}, 400, "images"),
        ({"images": ["AAAA", "AAAA"]}, 400, "784"),
        ({"picture": "?"}, 400, "picture"),
        ({"picture": "AAAA"}, 422, "the picture"),
        ({"picture": base64.b64encode(encoded(Image.new("L", (1001, 1000)), "PNG")).decode()}, 422, "1 mega"),
        ({"label": 7}, 400, "label"),
    ],
)
def test_an_invalid_correction_of_a_number_is_refused(changes, status, fact, keeping):
    answer = keeping.post("/v1/number-corrections", json=number_correction(**changes))
    assert fact in error(answer, status)
    assert keeping.get("/v1/corrections").json() == {"count": 0}


@pytest.mark.parametrize(
    "given",
    [
        correction(image="?"),
        correction(image="AAAA"),
        correction(label=10),
        {"label": 1},
        correction(image="é"),
    ],
    ids=["not base64", "short", "label", "no image", "not ASCII"],
)
def test_an_invalid_correction_is_400(given, keeping):
    error(keeping.post("/v1/corrections", json=given), 400)
    assert keeping.get("/v1/corrections").json() == {"count": 0}


def test_a_corrections_file_that_is_deleted_is_created_again(keeping, tmp_path):
    assert keeping.post("/v1/corrections", json=correction()).status_code == 201
    for each in tmp_path.iterdir():
        each.unlink()
    assert keeping.get("/v1/corrections").json() == {"count": 0}
    assert keeping.post("/v1/corrections", json=correction()).status_code == 201
    assert keeping.get("/v1/corrections").json() == {"count": 1}


def test_a_damaged_corrections_file_is_reported_to_client_and_operator(keeping, tmp_path, caplog):
    (tmp_path / "c.sqlite").write_bytes(b"no database" * 1000)
    sentence = error(keeping.get("/v1/corrections"), 503)
    assert "c.sqlite" in sentence
    assert sentence in caplog.text


# Settings


def test_flags_override_the_environment_and_that_the_defaults(monkeypatch):
    monkeypatch.setenv("DIGITS_PORT", "9000")
    monkeypatch.setenv("DIGITS_IMAGES", "12")
    settings = make_settings(port=9001, host=None)
    assert (settings.port, settings.images, settings.host) == (9001, 12, "127.0.0.1")


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"port": 70_000}, ["--port", "DIGITS_PORT", "65535"]),
        ({"in_flight": 0}, ["--in-flight", "DIGITS_IN_FLIGHT", "1"]),
        ({"token": "two words"}, ["--token", "DIGITS_TOKEN"]),
        ({"host": "0.0.0.0"}, ["0.0.0.0", "--token", "--no-token"]),
        ({"host": " "}, ["--host", "DIGITS_HOST"]),
        ({"allow_origin": "foo"}, ["--allow-origin", "DIGITS_ALLOW_ORIGIN", "https://", "'foo'"]),
        ({"request_seconds": float("nan")}, ["--request-seconds", "DIGITS_REQUEST_SECONDS"]),
    ],
    ids=str,
)
def test_an_invalid_setting_is_named(given, facts):
    assert says(refusal(lambda: make_settings(**given)), *facts)


@pytest.mark.parametrize(
    "given", [{"host": "::1"}, {"host": "localhost"}, {"host": "0.0.0.0", "no_token": True}]
)
def test_local_access_needs_no_token(given):
    assert make_settings(**given).token is None


def test_a_token_is_not_shown():
    assert "secret" not in repr(make_settings(token="secret"))
