"""What a measurement in a separate process needs, in our environment and in that of Keras."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any


def main(*actions: Callable[..., dict[str, Any]]) -> None:
    """Call the action named on the command line with the arguments in a JSON file, and print the result."""
    action = {action.__name__: action for action in actions}[sys.argv[1]]
    print(json.dumps(action(**json.loads(Path(sys.argv[2]).read_text("utf-8")))))


def peak_bytes() -> int:
    """Return the peak memory of this process, including Python and its libraries.

    On Linux, ``ru_maxrss`` starts from the memory of the parent process, so ``/proc`` is read instead.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
    return getrusage(RUSAGE_SELF).ru_maxrss  # bytes on macOS
