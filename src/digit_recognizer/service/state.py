"""What the parts of one running service know of each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class State:
    """How a service is doing.

    Attributes
    ----------
    draining
        It was told to end: it is not ready any more, and answers what it has.
    in_flight
        Requests that are worked on.
    buffered
        Bytes of requests that are in memory.
    """

    draining: bool = False
    in_flight: int = 0
    buffered: int = 0
