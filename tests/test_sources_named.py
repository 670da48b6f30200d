"""The sources that have a name instead of a path: bundled, and MNIST from a mirror on this machine."""

from __future__ import annotations

import gzip
import hashlib
import logging
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from digit_recognizer.imaging import normalise
from digit_recognizer.sources import find_source, load_digits
from digit_recognizer.sources.common import SINGLE_DIGIT
from digit_recognizer.sources.named import CHECKSUMS, FILES, load_mnist
from helpers import idx_of, refusal, says


def test_bundled_are_1797_digits_of_every_class_in_mnists_form():
    digits = load_digits("bundled")
    assert digits.counts().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    images = digits.images
    assert (images.max(axis=(1, 2)) == 255).all()
    rows, columns = images.any(axis=2), images.any(axis=1)
    longer = np.maximum(rows.sum(axis=1), columns.sum(axis=1))
    assert (longer <= 20).all()
    assert np.median(longer) == 20
    assert 25 < images.mean() < 45  # MNIST's is 33
    assert load_digits("bundled").sha256() == digits.sha256()


def test_bundled_strokes_are_smooth():
    images = load_digits("bundled").images.astype(int)
    assert ((images > 0) & (images < 255)).sum() > 20 * (images == 255).sum()
    inside = np.diff(images[:, 10:18, 8:20], axis=2)
    assert (inside == 0).mean() < 0.2  # blocks of 2 or 3 equal pixels would give more than a half


def test_bundled_images_are_normal_already():
    digits = load_digits("bundled")[:50]
    again = np.stack([normalise(image) for image in digits.images])
    assert np.abs(again.astype(int) - digits.images).max() <= 1


@pytest.mark.parametrize(("word", "package"), [("bundled", "sklearn"), ("mnist", "pooch")])
def test_a_missing_package_is_an_error_with_the_line_to_type(word, package, monkeypatch):
    def without(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("digit_recognizer.sources.common.import_module", without)
    assert says(refusal(lambda: load_digits(word)), package, 'pip install "digit-recognizer[train]"')


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_folder_of_pictures_says_that_it_needs_opencv(skip_bad, tmp_path, monkeypatch):
    (tmp_path / "3").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "3/a.png")
    for name in [each for each in sys.modules if each.startswith(SINGLE_DIGIT)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    refused = refusal(lambda: load_digits(tmp_path, skip_bad=skip_bad))
    assert says(refused, "cv2", 'pip install "digit-recognizer[train]"')
    assert "delete" not in refused


@pytest.fixture
def served(digits, monkeypatch):
    """A server with a folder `good` of small MNIST files and a folder `wrong` of others; its log."""
    content = {}
    for images, labels in FILES.values():
        content[images] = gzip.compress(idx_of(digits.images))
        content[labels] = gzip.compress(idx_of(digits.labels.astype(np.uint8)))
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            _, folder, name = self.path.split("/")
            body = {"good": content[name], "wrong": b"an error page"}.get(folder, b"")
            self.send_response(200 if body else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/"
        yield base, {name: hashlib.sha256(body).hexdigest() for name, body in content.items()}, asked
        server.shutdown()
        thread.join()


def test_a_broken_mirror_is_followed_by_the_next(served, digits, tmp_path, capfd, caplog):
    base, checksums, asked = served
    mirrors = [f"{base}{folder}/" for folder in ("down", "wrong", "good")]
    with caplog.at_level(logging.INFO):
        loaded = load_mnist("train", mirrors, checksums, tmp_path)
    assert loaded.sha256() == digits.sha256()
    images = "train-images-idx3-ubyte.gz"
    assert asked[:3] == [f"/{folder}/{images}" for folder in ("down", "wrong", "good")]
    assert capfd.readouterr() == ("", "")


def test_what_was_downloaded_is_kept_and_not_asked_for_again(served, tmp_path):
    base, checksums, asked = served
    first = load_mnist("test", [f"{base}good/"], checksums, tmp_path / "new" / "folder")
    again = load_mnist("test", [f"{base}down/"], checksums, tmp_path / "new" / "folder")
    assert again.sha256() == first.sha256()
    assert asked == ["/good/t10k-images-idx3-ubyte.gz", "/good/t10k-labels-idx1-ubyte.gz"]


def test_a_download_says_how_much_is_done(served, tmp_path):
    base, checksums, _ = served
    fractions: list[float] = []
    load_mnist("train", [f"{base}good/"], checksums, tmp_path, fractions.append)
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)


def test_a_word_may_have_capitals_unless_it_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_source("Bundled") == "bundled"
    assert len(load_digits("Bundled")) == 1797
    (tmp_path / "Bundled").mkdir()
    assert find_source("Bundled") == "Bundled"


def test_a_damaged_file_in_the_cache_is_downloaded_again(served, digits, tmp_path):
    base, checksums, _ = served
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    loaded = load_mnist("train", [f"{base}good/"], checksums, tmp_path)
    assert loaded.sha256() == digits.sha256()


def test_the_environment_says_where_to_keep_downloads(served, tmp_path, monkeypatch):
    base, checksums, _ = served
    monkeypatch.setenv("DIGITS_CACHE", str(tmp_path / "cache"))
    load_mnist("test", [f"{base}good/"], checksums)
    kept = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert kept == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]


def test_a_file_of_another_checksum_is_refused_and_not_kept(served, tmp_path):
    base, _, _ = served
    message = refusal(lambda: load_mnist("train", [f"{base}good/"], CHECKSUMS, tmp_path))
    assert says(message, f"{urlsplit(base).netloc}: wrong checksum")
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_error_names_the_other_ways(served, tmp_path):
    base, checksums, _ = served
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        message = refusal(lambda: load_mnist("train", [dead, f"{base}down/"], checksums, tmp_path))
    assert says(message, "MNIST", "no connection", "HTTP status 503", "Kaggle archive", "IDX", "bundled")


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(served, tmp_path):
    base, checksums, _ = served
    (tmp_path / "cache").write_text("a file, not a folder")
    message = refusal(lambda: load_mnist("train", [f"{base}good/"], checksums, tmp_path / "cache"))
    assert says(message, "cannot write", tmp_path / "cache")


def test_every_file_of_mnist_has_a_checksum():
    assert {name for names in FILES.values() for name in names} == set(CHECKSUMS)
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in CHECKSUMS.values())
