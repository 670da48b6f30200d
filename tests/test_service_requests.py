"""The service: what it answers, and what it says to requests that are wrong."""

from __future__ import annotations

import base64
import io
import json
import logging

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from digit_recognizer import Recognizer, load_digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.service import create_app, make_settings
from digit_recognizer.service.logs import configure
from pictures import written

RAW = {"Content-Type": "application/octet-stream"}
SEVEN = load_digits("bundled").images[7]


@pytest.fixture(scope="module")
def client():
    with service(body_bytes=200_000, images=20) as client:
        yield client


def service(**settings) -> TestClient:
    patient = {"request_seconds": 60, **settings}  # a test may have to share the processor
    app = create_app(make_settings(**patient))
    return TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False)


def png(page: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(page).save(stream, kind)
    return stream.getvalue()


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


def test_each_digit_comes_with_what_the_network_saw_if_asked_for(client):
    answer = client.post("/v1/read?images=true", content=png(written("7"))).json()
    (digit,) = answer["lines"][0]["numbers"][0]["digits"]
    image = np.frombuffer(base64.b64decode(digit["image"]), np.uint8)
    assert Recognizer().predict(image.reshape(1, 28, 28)).labels.tolist() == [7]


def test_what_is_no_digit_comes_with_what_it_would_be_if_asked_for(client):
    cross = np.full((120, 120), 255, np.uint8)
    for start in (30, 50, 70):
        cross[start : start + 8, 20:100] = cross[20:100, start : start + 8] = 0
    answer = client.post("/v1/read?images=true", content=png(cross)).json()
    (mark,) = answer["rejected"]
    assert answer["text"] == ""
    assert {name: mark[name] for name in ("x", "y", "width", "height")} == mark["guess"]["box"]
    image = np.frombuffer(base64.b64decode(mark["guess"]["image"]), np.uint8)
    assert Recognizer().predict(image.reshape(1, 28, 28)).is_digit[0] < 0.5
    assert mark["guess"]["is_digit"] < 0.8
    (without,) = client.post("/v1/read", content=png(cross)).json()["rejected"]
    assert without == {name: mark[name] for name in ("x", "y", "width", "height")}


def test_a_form_is_as_good_as_the_bytes(client):
    picture = png(written("42"))
    form = client.post("/v1/read", files={"picture": ("a.txt", picture, "text/plain")}).json()
    raw = client.post("/v1/read", content=picture).json()
    assert {**form, "seconds": 0} == {**raw, "seconds": 0}


def test_a_page_without_ink_is_blank(client):
    answer = client.post("/v1/read", content=png(np.full((50, 80), 255, np.uint8))).json()
    assert (answer["text"], answer["lines"], answer["rejected"], answer["blank"]) == ("", [], [], True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_pictures_are_known_by_their_content(kind, client):
    assert client.post("/v1/read", content=png(written("42"), kind), headers=RAW).json()["text"] == "42"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (png(np.zeros((8, 8), np.uint8), "TIFF"), "expected PNG, JPEG, WebP, BMP or GIF"),
        (b"%PDF-1.7\n", "expected PNG, JPEG, WebP, BMP or GIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected PNG, JPEG, WebP, BMP or GIF"),
        (png(written("42"))[:300], "damaged or incomplete"),
    ],
    ids=["tiff", "pdf", "svg", "truncated"],
)
def test_what_is_no_such_picture_is_422(content, complaint, client):
    assert complaint in error(client.post("/v1/read", content=content), 422)


def test_a_picture_with_too_many_pixels_is_422():
    with service(pixels=10_000) as small:
        sentence = error(small.post("/v1/read", content=png(np.zeros((101, 100), np.uint8))), 422)
    assert sentence == "the file has more than 0.01 megapixels: make it smaller first"


@pytest.mark.parametrize(
    "request_of",
    [
        {"content": b""},
        {"files": {"other": b"x"}},
        {"data": {"picture": "text"}, "files": {"x": b""}},
        {"content": b"--x\r\nContent-", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"12345", "headers": {"Content-Type": "multipart/form-data"}},
    ],
    ids=["nothing", "another field", "no file", "cut off", "no boundary"],
)
def test_a_request_without_a_picture_is_400(request_of, client):
    error(client.post("/v1/read", **request_of), 400)


def test_a_wrong_parameter_is_400(client):
    assert "images" in error(client.post("/v1/read?images=perhaps", content=png(written("7"))), 400)


# Predicting and explaining


def test_numbers_and_bytes_are_predicted_alike_and_as_by_the_library(client):
    images = load_digits("bundled").images[:20]
    expected = Recognizer().predict(images)
    raw = client.post("/v1/predict", content=images.tobytes(), headers=RAW).json()
    assert raw == client.post("/v1/predict", json={"images": images.tolist()}).json()
    assert raw["labels"] == expected.labels.tolist()
    assert np.allclose(raw["probabilities"], expected.probabilities, atol=1e-5)
    assert np.allclose(raw["is_digit"], expected.is_digit, atol=1e-5)
    assert np.allclose(raw["confidence"], expected.confidence, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [[], [[]], [[[0] * 28] * 27], [[[0] * 27] * 28], [[[256] * 28] * 28], [[[-1] * 28] * 28]],
)
def test_images_of_another_form_are_400(images, client):
    assert error(client.post("/v1/predict", json={"images": images}), 400).startswith("images")


@pytest.mark.parametrize("pixel", ["0", "true", "null", "1.5", "1e400", "NaN"])
def test_pixels_that_are_no_whole_numbers_are_400(pixel, client):
    rows = f"[{','.join([pixel] * 28)}]"
    body = f'{{"images": [[{",".join([rows] * 28)}]]}}'
    response = client.post("/v1/predict", content=body, headers={"Content-Type": "application/json"})
    if pixel == "0":
        assert response.status_code == 200
    else:
        error(response, 400)


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "null", '{"images": "x"}', '{"x": 1}', "\ud800"])
def test_what_is_no_such_json_is_400(body, client):
    content = body.encode("utf-8", "surrogatepass")
    error(client.post("/v1/predict", content=content, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize("count", [0, 1, 783, 785])
def test_bytes_that_are_no_whole_images_are_400(count, client):
    error(client.post("/v1/predict", content=bytes(count), headers=RAW), 400)


def test_too_many_images_are_413(client):
    sentence = error(client.post("/v1/predict", content=bytes(21 * 784), headers=RAW), 413)
    assert sentence == "expected at most 20 images, got 21"


def test_images_of_another_type_are_415(client):
    error(client.post("/v1/predict", content=b"x", headers={"Content-Type": "text/plain"}), 415)


def test_an_explanation_shows_every_convolution(client):
    answer = client.post("/v1/explain", content=SEVEN.tobytes(), headers=RAW).json()
    assert answer["label"] == int(Recognizer().predict(SEVEN[None]).labels[0])
    assert [layer["name"] for layer in answer["layers"]] == ["conv1", "conv2", "conv3"]
    for layer in answer["layers"]:
        maps = np.frombuffer(base64.b64decode(layer["maps"]), np.uint8)
        assert maps.size == layer["channels"] * layer["height"] * layer["width"]
        assert maps.max() == 255
        assert layer["maximum"] > 0
    assert len(base64.b64decode(answer["saliency"])) == 784


def test_an_explanation_without_saliency_and_of_nothing(client):
    answer = client.post("/v1/explain?saliency=false", content=bytes(784), headers=RAW).json()
    assert answer["saliency"] is None


def test_only_one_image_is_explained(client):
    error(client.post("/v1/explain", content=bytes(2 * 784), headers=RAW), 400)


def test_filters_are_those_of_the_graph(client):
    first = client.get("/v1/filters").json()["layers"][0]
    kernels = np.frombuffer(base64.b64decode(first["kernels"]), np.uint8)
    assert kernels.size == first["outputs"] * first["height"] * first["width"]
    assert {int(kernels.min()), int(kernels.max())} & {1, 255}
    from digit_recognizer.explain.activations import open_activations

    inside = open_activations(Recognizer().path)
    weights = inside.filters(inside.convolutions[0]).mean(axis=1).reshape(-1)
    decoded = (kernels.astype(float) - 128) / 127 * first["scale"]
    assert np.allclose(decoded, weights, atol=first["scale"] / 127)


def test_the_card_says_what_a_request_may_hold(client):
    card = client.get("/v1/model").json()
    assert card["source"] == "shipped"
    assert card["limits"] == {"body_bytes": 200_000, "pixels": 25_000_000, "images": 20}
    assert card["corrections"] is False


def test_a_run_of_ones_own_is_served_without_knowing_what_is_no_digit(trained):
    with service(model=trained("two convolutions")) as own:
        answer = own.post("/v1/predict", content=SEVEN.tobytes(), headers=RAW).json()
        assert answer["is_digit"] is None
        assert own.get("/v1/model").json()["source"] == "run"
        layers = own.post("/v1/explain", content=SEVEN.tobytes(), headers=RAW).json()["layers"]
        assert [layer["name"] for layer in layers] == ["conv1", "conv2"]


def test_a_model_without_convolutions_is_explained_without_maps(trained):
    with service(model=trained("hidden")) as own:
        assert own.post("/v1/explain", content=SEVEN.tobytes(), headers=RAW).json()["layers"] == []
        assert own.get("/v1/filters").json() == {"layers": []}


# Limits


def test_a_body_that_says_that_it_is_too_large_is_413(client):
    assert "200000" in error(client.post("/v1/read", content=bytes(200_001)), 413)


def test_a_body_that_does_not_say_so_is_413_as_well(client):
    assert "200000" in error(client.post("/v1/read", content=(bytes(50_000) for _ in range(5))), 413)


def test_a_compressed_body_is_415(client):
    import gzip

    headers = {**RAW, "Content-Encoding": "gzip"}
    error(client.post("/v1/predict", content=gzip.compress(bytes(784)), headers=headers), 415)


def test_where_too_many_are_in_flight_the_next_may_come_again():
    with service(in_flight=1) as busy:
        busy.app.state.service.in_flight = 1
        response = busy.post("/v1/predict", content=bytes(784), headers=RAW)
        assert "come again" in error(response, 503)
        assert response.headers["Retry-After"] == "1"
        assert busy.get("/v2/health/live").status_code == 200


def test_an_answer_that_takes_too_long_is_504():
    import time

    with service(request_seconds=0.05) as slow:
        slow.app.state.model._batcher._recognise = lambda _images: time.sleep(0.3)
        error(slow.post("/v1/predict", content=bytes(784), headers=RAW), 504)
        assert slow.app.state.service.in_flight == 0


def test_a_mistake_in_the_service_is_500_and_says_nothing_of_it(caplog):
    with service() as broken:
        broken.app.state.model._batcher._recognise = lambda _images: 1 / 0
        assert error(broken.post("/v1/predict", content=bytes(784), headers=RAW), 500) == (
            "the service made a mistake"
        )
    assert "ZeroDivisionError" in caplog.text


def test_a_token_is_asked_for_but_not_to_see_the_page_or_whether_it_lives():
    with service(token="secret") as closed:
        for path in ("/v1/model", "/metrics", "/v2/models/digits", "/nowhere"):
            response = closed.get(path)
            assert "token" in error(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/", "/docs", "/static/docs.js", "/v2/health/live", "/v2/health/ready", "/openapi.json"):
            assert closed.get(path).status_code == 200
        assert closed.get("/v1/model", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert closed.get("/v1/model", headers={"Authorization": "Bearer secret"}).status_code == 200


LOCAL = ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000", "a.localhost", ""]
FOREIGN = [
    "example.org",
    "example.org:8000",
    "192.168.0.7",
    "localhost.example.org",
    "[2001:db8::1]:80",
    "[",
    ":",
]


@pytest.mark.parametrize("host", LOCAL)
def test_this_machine_may_ask_by_any_of_its_names(host, client):
    assert client.get("/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/v1/model", "/v2/health/live"])
def test_a_page_whose_name_was_led_to_this_machine_gets_nothing(host, path, client):
    assert "--allow-host" in error(client.get(path, headers={"Host": host}), 421)


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_host": "other.test, Example.org"},
        {"token": "secret"},
        {"host": "0.0.0.0", "no_token": True},
    ],
)
def test_by_other_names_it_may_be_asked_if_told_so_or_kept_by_a_token_or_by_nothing(settings):
    with service(**settings) as known:
        headers = {"Host": "example.org:8000", "Authorization": "Bearer secret"}
        assert known.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/static/docs.js", "/v1/model", "/nowhere", "/metrics"])
def test_every_response_holds_the_browser_to_this_host(path, client):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_other_hosts_pages_may_ask_only_if_told_so():
    origin = {"Origin": "https://example.org"}
    with service(allow_origin="https://example.org") as shared:
        response = shared.get("/v1/model", headers=origin)
        assert response.headers["Access-Control-Allow-Origin"] == "https://example.org"
        other = shared.get("/v1/model", headers={"Origin": "https://example.com"})
        assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/read", 405)])
def test_what_is_not_there_is_said_in_the_same_form(method, path, status, client):
    error(client.request(method, path), status)


def test_no_path_leads_out_of_the_static_files(client):
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


# Health, metrics, logs, corrections


def test_a_service_that_goes_away_lives_but_is_not_ready():
    with service() as leaving:
        assert leaving.get("/v2/health/ready").json() == {"ready": True}
        leaving.app.state.service.draining = True
        response = leaving.get("/v2/health/ready")
        assert error(response, 503) == "the service is going away"
        assert response.headers["Connection"] == "close"
        assert leaving.get("/v2/health/live").json() == {"live": True}
        assert leaving.post("/v1/predict", content=bytes(784), headers=RAW).status_code == 200


def test_requests_are_counted_by_the_path_that_was_declared():
    with service() as counted:
        counted.get("/v1/model")
        counted.get("/made-up-by-a-stranger")
        text = counted.get("/metrics").text
    assert 'digits_http_requests_total{method="GET",route="/v1/model",status="200"} 1.0' in text
    assert 'route="other",status="404"' in text
    assert "stranger" not in text


def test_a_log_line_says_who_asked_for_what_and_nothing_of_what_was_in_it(capsys):
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        configure(as_json=True)
        with service(log_json=True) as logged:
            logged.post("/v1/read?images=true", content=png(written("7")))
    finally:
        root.handlers, root.level = before
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "/v1/read" in each]
    entry = json.loads(line)
    assert {"client", "seconds", "time", "level"} < set(entry)
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/read", 200)
    assert entry["bytes_received"] == len(png(written("7")))
    assert len(line) < 400


def test_corrections_are_off_unless_asked_for(client):
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/1")):
        assert "--corrections" in error(client.request(method, f"/v1/corrections{path}"), 404)


def test_corrections_are_kept_counted_and_taken_back(tmp_path):
    image = base64.b64encode(SEVEN.tobytes()).decode()
    with service(corrections=True, corrections_file=tmp_path / "c.sqlite") as kept:
        assert kept.get("/v1/model").json()["corrections"] is True
        first = kept.post("/v1/corrections", json={"image": image, "label": 7, "read_as": 1})
        second = kept.post("/v1/corrections", json={"image": image, "label": None})
        assert (first.status_code, second.status_code) == (201, 201)
        assert kept.get("/v1/corrections").json() == {"count": 2}
        assert kept.delete(f"/v1/corrections/{first.json()['id']}").status_code == 204
        assert kept.get("/v1/corrections").json() == {"count": 1}
        error(kept.delete(f"/v1/corrections/{first.json()['id']}"), 404)
        error(kept.delete(f"/v1/corrections/{10**30}"), 404)
        error(kept.delete("/v1/corrections/x"), 400)


def test_a_correction_that_another_hosts_page_could_send_unasked_is_415(tmp_path):
    with service(corrections=True, corrections_file=tmp_path / "c.sqlite") as kept:
        answer = kept.post("/v1/corrections", content=b"{}", headers={"Content-Type": "text/plain"})
        assert "expected application/json, got text/plain" in error(answer, 415)


@pytest.mark.parametrize(
    "given",
    [
        {"image": "?", "label": 7},
        {"image": "AAAA", "label": 7},
        {"image": "A" * 1046, "label": 10},
        {"label": 1},
        {"image": "é" * 100, "label": 1},
    ],
)
def test_a_correction_of_another_form_is_400(given, tmp_path):
    with service(corrections=True, corrections_file=tmp_path / "c.sqlite") as kept:
        error(kept.post("/v1/corrections", json=given), 400)
        assert kept.get("/v1/corrections").json() == {"count": 0}


def test_a_file_of_corrections_that_goes_away_is_made_again(tmp_path):
    path = tmp_path / "c.sqlite"
    given = {"image": base64.b64encode(SEVEN.tobytes()).decode(), "label": 7}
    with service(corrections=True, corrections_file=path) as kept:
        assert kept.post("/v1/corrections", json=given).status_code == 201
        for each in tmp_path.iterdir():
            each.unlink()
        assert kept.get("/v1/corrections").json() == {"count": 0}
        assert kept.post("/v1/corrections", json=given).status_code == 201
        assert kept.get("/v1/corrections").json() == {"count": 1}


def test_a_file_of_corrections_that_is_damaged_is_said_to_client_and_operator(tmp_path, caplog):
    path = tmp_path / "c.sqlite"
    with service(corrections=True, corrections_file=path) as kept:
        path.write_bytes(b"no database" * 1000)
        sentence = error(kept.get("/v1/corrections"), 503)
    assert "c.sqlite is damaged" in sentence
    assert sentence in caplog.text


# Settings


def test_a_flag_counts_before_the_environment_and_that_before_the_default(monkeypatch):
    monkeypatch.setenv("DIGITS_PORT", "9000")
    monkeypatch.setenv("DIGITS_IMAGES", "12")
    settings = make_settings(port=9001, host=None)
    assert (settings.port, settings.images, settings.host) == (9001, 12, "127.0.0.1")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"port": 70_000}, "--port or DIGITS_PORT: input should be less than or equal to 65535"),
        ({"in_flight": 0}, "--in-flight or DIGITS_IN_FLIGHT: input should be greater than or equal to 1"),
        ({"token": "two words"}, "--token or DIGITS_TOKEN: expected a word"),
        ({"host": "0.0.0.0"}, "0.0.0.0 can be reached from other machines: give --token, or --no-token"),
        ({"host": " "}, "--host or DIGITS_HOST: expected a name or an address"),
        ({"allow_origin": "foo"}, "--allow-origin or DIGITS_ALLOW_ORIGIN: expected origins such as https://"),
        ({"request_seconds": float("nan")}, "--request-seconds or DIGITS_REQUEST_SECONDS: "),
    ],
)
def test_a_setting_that_is_wrong_is_one_sentence(given, sentence):
    with pytest.raises(DigitsError) as raised:
        make_settings(**given)
    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize(
    "given", [{"host": "::1"}, {"host": "localhost"}, {"host": "0.0.0.0", "no_token": True}]
)
def test_this_machine_needs_no_token_and_nobody_does_with_no_token(given):
    assert make_settings(**given).token is None


def test_a_token_is_not_shown():
    assert "secret" not in repr(make_settings(token="secret"))
