"""The service below a path of a reverse proxy."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from digit_recognizer.service import create_app, make_settings
from helpers import read_page, refusal, says
from serving import proxy, serving

RAW = {"Content-Type": "application/octet-stream"}
BLANK = bytes(784)
ROOT = "/tools/digits"
WAYS = {
    "the proxy removes the path": ("", True),
    "and the service knows it": (ROOT, True),
    "the proxy keeps the path": (ROOT, False),
}  # the option --root-path, and what the proxy does


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def below(request):
    """The address of the page behind a proxy."""
    root_path, removes_path = request.param
    with (
        serving("--root-path", root_path, "--token", "secret") as service,
        proxy(service.port, ROOT, removes_path=removes_path) as address,
    ):
        yield address


def service(**settings: object) -> TestClient:
    app = create_app(make_settings(request_seconds=60, **settings))
    return TestClient(app, base_url="http://localhost:8000")


def get(address: str) -> httpx2.Response:
    return httpx2.get(address, headers={"Authorization": "Bearer secret"}, timeout=60)


@pytest.mark.parametrize("page", ["", "docs"])
def test_every_address_on_a_page_is_answered(page, below, tmp_path):
    answer = get(below + page)
    (tmp_path / "page.html").write_bytes(answer.content)
    elements = [*read_page(tmp_path / "page.html").all()]
    named = [each.attributes.get(name) for each in elements for name in ("href", "src")]
    links = [address for address in named if address and not address.startswith(("#", "data:"))]
    assert len(links) >= 4
    for link in links:
        assert not link.startswith("/"), link
        assert get(urljoin(str(answer.url), link)).status_code == 200, link


def test_scripts_import_only_their_neighbours(below):
    names, left = set(), ["page.js", "docs.js"]
    while left:
        name = left.pop()
        names.add(name)
        script = get(f"{below}static/{name}")
        assert script.status_code == 200
        found = re.findall(r'from "\./([^"]+)"', script.text)
        assert len(found) == len(re.findall('^import |^export .* from "', script.text, re.MULTILINE)), name
        left += set(found) - names
    assert len(names) > 5


def test_requests_are_answered_and_the_token_is_checked(below):
    assert httpx2.get(below, timeout=60).status_code == 200
    assert httpx2.get(f"{below}v1/model", timeout=60).status_code == 401
    assert get(f"{below}v1/model").json()["name"] == "digits"
    headers = {**RAW, "Authorization": "Bearer secret"}
    answer = httpx2.post(f"{below}v1/predict", content=BLANK, headers=headers, timeout=60)
    assert len(answer.json()["labels"]) == 1
    for path in ("v2/health/ready", "v2/models/digits", "metrics"):
        assert get(below + path).status_code == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [("docs/", "../docs"), ("v1/model/?a=b", "../model?a=b"), ("v2/models/digits/", "../digits")],
)
def test_a_slash_too_many_is_redirected_below_the_path(path, location, below):
    answer = get(below + path)
    assert (answer.status_code, answer.headers["Location"]) == (307, location)
    assert get(urljoin(below + path, location)).status_code == 200


@pytest.mark.parametrize("given", ["/digits", "digits", "/digits/", " digits/ "])
def test_the_root_path_is_removed_where_it_is_and_needs_no_slashes(given):
    with service(root_path=given) as client:
        assert client.get("/digits/v1/model").json() == client.get("/v1/model").json()
        assert client.get("/digitsv1/model").status_code == 404
        redirect = client.get("/digits", follow_redirects=False)
        assert (redirect.status_code, redirect.headers["Location"]) == (307, "digits/")
        text = client.get("/metrics").text
    assert 'digits_http_requests_total{method="GET",route="/v1/model",status="200"} 2.0' in text


@pytest.mark.parametrize(("root_path", "servers"), [("", None), (ROOT, [{"url": ROOT}])])
def test_openapi_names_the_root_path(root_path, servers):
    with service(root_path=root_path) as client:
        assert client.get("/openapi.json").json().get("servers") == servers


def test_a_token_is_needed_below_the_root_path_too():
    with service(root_path=ROOT, token="secret") as closed:
        for path, status in (("/v1/model", 401), ("/", 200), ("/docs", 200), ("/static/page.js", 200)):
            assert closed.get(ROOT + path).status_code == closed.get(path).status_code == status


def test_an_application_below_which_it_is_mounted_needs_no_setting():
    parent = FastAPI()
    parent.mount("/digits", create_app(make_settings(token="secret")))
    client = TestClient(parent, headers={"Authorization": "Bearer secret"})
    for path in ("/", "/docs", "/static/page.js", "/v1/model", "/v2/health/live"):
        assert client.get(f"/digits{path}").status_code == 200
    assert client.post("/digits/v1/predict", content=BLANK, headers=RAW).status_code == 200
    assert client.get("/digits/openapi.json").json()["servers"] == [{"url": "/digits"}]


@pytest.mark.parametrize(
    ("root_path", "facts"),
    [
        ("https://example.org/digits", ["/digits", "https://example.org/digits"]),
        ("/a b", ["'/a b'"]),
        ("/a/../b", ["'/a/../b'"]),
        ("//a//b", ["'//a//b'"]),
        ("/v1", ["'/v1'", "service's own"]),
        ("/static/digits", ["'/static/digits'", "service's own"]),
    ],
)
def test_a_root_path_that_cannot_be_is_refused(root_path, facts):
    assert says(refusal(lambda: make_settings(root_path=root_path)), "--root-path", *facts)
