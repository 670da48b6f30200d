"""What a measurement in a process of its own needs, in our environment and in the peers' alike."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

__all__ = ["main", "peak_bytes"]


def main(*actions: Callable[..., dict[str, Any]]) -> None:
    """Call the action named on the command line with the arguments in a file of JSON; print the result."""
    action = {action.__name__: action for action in actions}[sys.argv[1]]
    print(json.dumps(action(**json.loads(Path(sys.argv[2]).read_text("utf-8")))))


def peak_bytes() -> int:
    """Return the most memory that this process had at once, Python and its libraries included.

    On Linux ``ru_maxrss`` starts from what the parent had when it started this process, so the system's
    own record of this process is read instead.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
    return getrusage(RUSAGE_SELF).ru_maxrss  # bytes on macOS
