"""Every command and every link of the documentation works."""

import argparse
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest
from PIL import Image

from digit_recognizer.cli import main
from digit_recognizer.corrections import CorrectionStore
from digit_recognizer.digits import Digits
from digit_recognizer.sources import load_digits
from helpers import csv_of
from pictures import written

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
READING = sorted((ROOT / "docs").glob("reading*.md"))
TESTED = [
    ROOT / "README.md",
    ROOT / "docs/training.md",
    ROOT / "docs/recipes.md",
    *(ROOT / f"docs/{name}.md" for name in ("reading", "reading-many", "reading-programs")),
    ROOT / "docs/corrections.md",
    ROOT / "docs/tutorial/leaderboard.md",
    ROOT / "docs/tutorial/photo.md",
]  # the others show commands that measure figures
WITH_PYTHON = [*TESTED, ROOT / "docs/sklearn.md"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def a_users_folder(tmp_path, monkeypatch):
    """A folder with a small archive like the competition's, pictures and a file of corrections."""
    digits = load_digits("bundled")[:300]
    with ZipFile(tmp_path / "digit-recognizer.zip", "w") as archive:
        archive.writestr("train.csv", csv_of(digits))
        archive.writestr("test.csv", csv_of(Digits(digits.images[:50])))
    store = CorrectionStore(tmp_path / "runs/corrections.sqlite")
    for image, label in zip(digits.images[:6], digits.labels[1:7], strict=True):
        store.add(image, int(label), None, "shipped")
    (tmp_path / "scans").mkdir()
    for name in ("phone-number.jpg", "scan.png", "form.jpg", "scans/1.png", "scans/2.png", "cell.png"):
        Image.fromarray(written("7" if name == "cell.png" else "17 42")).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITS_DATA", raising=False)
    return tmp_path


def run(command, monkeypatch, capsys):
    """Run one line `digits …` in this process, also with `> file`."""
    words = shlex.split(command, comments=True)
    target = words[words.index(">") + 1] if ">" in words else None
    arguments = words[: words.index(">")] if target else words
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ending:
        main()
    output = capsys.readouterr()
    assert ending.value.code == 0, f"{command}: {output.err}"
    if target:
        Path(target).write_text(output.out, "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", TESTED, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("a_users_folder")
def test_every_command_shown_works_in_the_order_shown(page, monkeypatch, capsys):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("digits ")]
    assert commands
    for command in commands:
        run(command, monkeypatch, capsys)


def examples(page):
    """Return the commands of blocks `console` that read a picture of docs/, with the output shown."""
    parts = (
        part for block in blocks(page, "console") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)
    )
    shown = [part.partition("\n")[::2] for part in parts]
    return [(command, output) for command, output in shown if command.startswith("digits read docs/")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "output"),
    dict.fromkeys(
        example for page in (*READING, ROOT / "docs/tutorial/photo.md") for example in examples(page)
    ),
)
def test_the_output_shown_is_that_of_the_command(command, output, run_command, monkeypatch):
    monkeypatch.chdir(ROOT)
    status, printed, errors = run_command(command.removeprefix("digits "))
    if "--threshold" in command:  # which numbers are sure changes with each model
        printed, output = printed.replace("?", ""), output.replace("?", "")
    assert (status, printed, errors) == (0, output, "")


@pytest.mark.slow
def test_every_request_shown_is_answered_by_the_service_shown(tmp_path):
    """Each block starts a service and sends it requests."""
    Image.fromarray(written("17 42")).save(tmp_path / "picture.png")
    (tmp_path / "image.bin").write_bytes(bytes(784))
    (tmp_path / "images.bin").write_bytes(bytes(3 * 784))
    shown = [block.splitlines() for block in blocks(ROOT / "docs/service.md", "sh")]
    assert len(shown) >= 2
    for command, *requests in shown:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        line = command.replace("digits serve", f"exec {sys.executable} -m digit_recognizer serve")
        environment = {**os.environ, "DIGITS_PORT": port}
        with subprocess.Popen(
            ["sh", "-c", line], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
        ) as service:
            try:
                assert "Serving on" in service.stdout.readline()
                for request in requests:
                    answer = send_like_curl(request.replace(":8000", f":{port}"), tmp_path)
                    assert answer.status_code == 200, f"{request}: {answer.text}"
                    assert answer.content
            finally:
                service.terminate()
                assert service.wait(60) == 0


def send_like_curl(command, folder):
    """Send the request of a `curl` command without curl, which may not be installed."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--data-binary")
    parser.add_argument("-F", dest="form")
    parser.add_argument("-H", dest="header", default="Content-Type: application/x-www-form-urlencoded")
    parser.add_argument("url")
    program, *words = shlex.split(command)
    assert program == "curl"
    given = parser.parse_args(words)
    name, _, value = given.header.partition(": ")
    if given.form is not None:
        field, _, file = given.form.partition("=@")
        return httpx2.post(given.url, files={field: (folder / file).read_bytes()}, timeout=60)
    if given.data_binary is not None:
        is_file = given.data_binary.startswith("@")
        content = (folder / given.data_binary[1:]).read_bytes() if is_file else given.data_binary.encode()
        return httpx2.post(given.url, content=content, headers={name: value}, timeout=60)
    return httpx2.get(given.url, headers={name: value}, timeout=60)


@pytest.mark.slow
@pytest.mark.usefixtures("a_users_folder")
def test_the_python_shown_runs(capsys):
    examples = {
        page: "\n".join(blocks(page, "python")) for page in WITH_PYTHON
    }  # a block continues the one before
    assert any(examples.values())
    for page, example in examples.items():
        exec(compile(example, page.name, "exec"), {})
    assert capsys.readouterr().out


def test_every_make_target_shown_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [page.read_text("utf-8") for page in PAGES]
    shown = {name for text in texts for name in re.findall(r"(?:`|\$ )make ([a-z][a-z-]+)", text)}
    assert {"run", "test"} <= shown <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_resolves(page):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8"))
    links += re.findall(r'(?:src|href)="([^"#]+)"', page.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
