"""The page without a service, for tests and benchmarks: served as files, and asked as a service is."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from handwriting import strokes_of
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from digit_recognizer import load_digits

SHEET = {"width": 820, "height": 640}  # of a drawing, in CSS pixels
TEXT_MARKS = ".,-:/+%"
READ = "/v1/read?images=true&reduce=true&threshold=0.9"

RENDER = """async ([strokes, pen, {width, height}]) => {
    const {Ink} = await import(new URL("static/ink.js", document.baseURI));
    const canvas = document.createElement("canvas");
    canvas.style.cssText = `position: fixed; width: ${width}px; height: ${height}px; visibility: hidden`;
    document.body.append(canvas);
    const ink = new Ink(canvas);
    ink.fit();
    for (const [first, ...rest] of strokes.map(points => points.map(([x, y]) => ({x, y, width: pen})))) {
        ink.begin(first);
        ink.extend(rest);
    }
    canvas.remove();
    return ink.sent.canvas.toDataURL("image/png").split(",")[1];
}"""
ASK = """async ([path, content]) => {
    const {ask} = await import(new URL("static/backend.js", document.baseURI));
    const body = content && new Blob([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))]);
    try {
        return await ask(path, {body});
    } catch (error) {
        return {error: error.message};
    }
}"""


class _Files(SimpleHTTPRequestHandler):
    """Serves the files of a folder below a path, without a word."""

    def __init__(self, *arguments: Any, below: str, headers: dict[str, str], **options: Any) -> None:
        self.below, self.headers_to_send = below, headers
        super().__init__(*arguments, **options)

    def translate_path(self, path: str) -> str:
        inside = path.removeprefix(self.below) if path.startswith(f"{self.below}/") else "/missing"
        return super().translate_path(inside)

    def end_headers(self) -> None:
        for name, value in self.headers_to_send.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_files(folder: Path, below: str = "/some/where", **headers: str) -> Iterator[str]:
    """Serve the files of a folder below a path, with further headers; yield the address of the page."""
    handler = partial(_Files, directory=str(folder), below=below, headers=headers)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{below}/"
        finally:
            server.shutdown()
            thread.join()


def ask(page: Page, path: str, content: bytes) -> dict[str, Any]:
    """Return what an open page answers to a request with a picture, or with an image's pixels."""
    answer: dict[str, Any] = page.evaluate(ASK, [path, b64encode(content).decode()])
    return answer


def drawing(page: Page, generator: np.random.Generator) -> bytes:
    """Return a drawing of one to three numbers, a PNG that the page would send."""
    strokes: list[NDArray[np.float64]] = []
    for row in range(generator.integers(1, 4)):
        height = generator.uniform(60, 150)
        text = "".join(map(str, generator.integers(0, 10, generator.integers(1, 6))))
        left, top = generator.uniform(15, 100), 15 + 205 * row + generator.uniform(0, 40)
        slant = generator.uniform(-0.15, 0.25)
        for points in strokes_of(text, left, top, height, 4):
            wobble = generator.normal(0, 0.008 * height, points.shape)
            leaning = [slant * (top + height - points[:, 1]), np.zeros(len(points))]
            strokes.append(points + wobble + np.stack(leaning, axis=1))
    pen = float(generator.choice([6, 11, 20]))
    return b64decode(page.evaluate(RENDER, [[each.tolist() for each in strokes], pen, SHEET]))


def picture(generator: np.random.Generator, kind: str = "PNG") -> bytes:
    """Return a picture of a few numbers, composed of bundled digits, on paper that is not even."""
    digits = load_digits("bundled")
    page = np.zeros((generator.integers(300, 900), generator.integers(400, 1200)))
    for _ in range(generator.integers(1, 6)):
        side = int(generator.integers(50, 120))
        rows = generator.integers(0, len(digits), generator.integers(1, 6))
        images = [Image.fromarray(digits.images[row]).resize((side, side)) for row in rows]
        number = np.concatenate([np.asarray(each)[:, side // 7 : -side // 7] for each in images], axis=1)
        if number.shape[1] > page.shape[1]:
            continue
        top, left = (
            generator.integers(0, most - size + 1)
            for most, size in zip(page.shape, number.shape, strict=True)
        )
        place = page[top : top + number.shape[0], left : left + number.shape[1]]
        if not place.any():
            place += number
    paper = 225 + 20 * np.linspace(-1, 1, page.shape[1]) - 0.7 * page + generator.normal(0, 3, page.shape)
    picture = Image.fromarray(paper.clip(0, 255).astype(np.uint8))
    stream = io.BytesIO()
    colour = picture.convert("RGB") if generator.random() < 0.5 else picture
    colour.rotate(generator.uniform(-4, 4), fillcolor="white").save(stream, kind)
    return stream.getvalue()


def texts_of(answer: dict[str, Any]) -> Sequence[str]:
    """Return the lines that were read."""
    return str(answer.get("text", answer.get("error"))).split("\n")
