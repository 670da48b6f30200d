"""Every figure is rendered once, here or by a helper process, and here if the helper fails."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest

from digit_recognizer.report import figures, rendering
from digit_recognizer.report.rendering import Renderer, render

DRAWN = [partial(figures.draw_counts, np.arange(10) * number, np.arange(10)) for number in range(1, 7)]


@pytest.fixture
def idle(monkeypatch):
    """Make this process wait until the helper has taken all figures."""

    def wait(renderer):
        renderer._waiting.put(None)
        renderer._thread.join()

    monkeypatch.setattr(Renderer, "_render_waiting", wait)


def rendered(processors):
    with Renderer(processors) as renderer:
        for draw in DRAWN:
            renderer.add(draw)
        return renderer.finish(), renderer._helper


def test_one_process_renders_in_order():
    files, helper = rendered(1)
    assert helper is None
    assert files == [render(draw) for draw in DRAWN]


@pytest.mark.usefixtures("idle")
def test_a_helper_renders_the_same_bytes():
    with mpl.rc_context({"savefig.bbox": "tight"}):  # a setting of the caller, which the helper also uses
        files, helper = rendered(2)
        assert files == [render(draw) for draw in DRAWN]
    assert helper.returncode is not None


@pytest.mark.parametrize(
    "helper",
    [("-c", "raise SystemExit(1)"), ("-c", "print('no pickle', flush=True); input()")],
    ids=["exits immediately", "sends no pickle"],
)
def test_this_process_renders_what_a_helper_fails_to_render(helper, monkeypatch):
    monkeypatch.setattr(rendering, "HELPER", helper)
    files, _ = rendered(2)
    assert files == [render(draw) for draw in DRAWN]


def test_this_process_renders_if_no_helper_can_be_started(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    files, helper = rendered(2)
    assert helper is None
    assert len(files) == len(DRAWN)


def test_an_error_while_drawing_is_raised_in_this_process():
    renderer = Renderer(2)
    renderer.add(partial(divmod, 1, 0))
    with renderer, pytest.raises(ZeroDivisionError):
        renderer.finish()
    assert renderer._helper.returncode is not None


def test_an_interrupt_ends_helper_and_thread():
    threads = threading.active_count()
    renderer = Renderer(2)
    for draw in DRAWN:
        renderer.add(draw)
    with pytest.raises(KeyboardInterrupt), renderer:
        raise KeyboardInterrupt
    assert renderer._helper.returncode is not None
    assert threading.active_count() == threads


def test_a_helper_ends_with_its_parent_and_not_by_an_interrupt():
    with subprocess.Popen(
        [sys.executable, *rendering.HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as helper:
        pickle.dump(({}, DRAWN[0]), helper.stdin)
        helper.stdin.flush()
        assert pickle.load(helper.stdout) == render(DRAWN[0])
        os.kill(helper.pid, signal.SIGINT)
        pickle.dump(({}, DRAWN[1]), helper.stdin)
        helper.stdin.flush()
        assert pickle.load(helper.stdout) == render(DRAWN[1])
        helper.stdin.close()  # as if the parent had died
        assert helper.wait(60) == 0
