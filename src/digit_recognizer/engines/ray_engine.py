"""The engine that runs on Ray: Ray Data for pictures, tasks for trainings. Only this module imports Ray.

Ray moves work, restarts what is lost, and follows nodes that leave and join; there is no code for that here.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from digit_recognizer import __version__
from digit_recognizer.engines.engine import Item, Result
from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.formatting import count
from digit_recognizer.machine import shorten_spinning, usable_processors

ADDRESS = "RAY_ADDRESS"
EXAMPLE_ADDRESS = "10.0.0.1:6379"  # with the default port of head nodes
CONNECT_SECONDS = 5.0  # Ray itself tries for several minutes
OBJECT_STORE_BYTES = 256 << 20  # of a local cluster; what does not fit is written to the disk
MIN_OBJECT_STORE_BYTES = 80 << 20  # Ray refuses less than 75 MiB
RETRIES = 10  # of a task whose worker died; Ray Data has no limit for pictures
MAX_BATCH = 256  # items; half a minute of reading, which is what a lost worker repeats
BATCHES_PER_SLOT = 32  # so that at the end no worker waits long for another

log = logging.getLogger(__name__)


class RayEngine:
    """The processors of a Ray cluster.

    Parameters
    ----------
    threads
        Of each task and of each worker of `map`.
    gpus
        Of each task: 0 or 1.
    address
        A head node, as ``10.0.0.1:6379``, ``auto`` for the cluster that runs on this machine, or ``local`` to
        start one. Default: the variable RAY_ADDRESS, or ``local``.
    processors
        How many a local cluster has. Default: those that this process may use.

    Raises
    ------
    DigitsError
        Ray is not installed, the address cannot be reached, its versions are others, or no node has as many
        processors or GPUs.
    """

    def __init__(
        self, threads: int = 1, gpus: int = 0, *, address: str | None = None, processors: int | None = None
    ) -> None:
        self.threads, self.gpus = threads, gpus
        self._ray = _import_ray()
        place = address or os.environ.get(ADDRESS) or "local"
        _connect(self._ray, place, processors or max(threads, usable_processors()))
        try:
            self.slots = self._count_slots(place)
        except BaseException:
            self.close()
            raise
        options = {"num_cpus": threads, "num_gpus": gpus, "max_retries": RETRIES}
        self._task = self._ray.remote(**options)(_run_task)

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, which ends what still runs there, or end the local one."""
        self._ray.shutdown()

    def share(self, value: Any) -> Any:
        """Put a value where all nodes find it."""
        return self._ray.put(value)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Start a task on a node that has as many processors left."""
        future: Future[Result] = Future()
        reference = self._task.remote(_expected(), self.threads, function, *arguments)
        reference.future().add_done_callback(partial(self._pass_on, future))
        return future

    def map(self, start: Callable[[], Callable[[Item], Result]], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results for items, in their order, from actors that call `start` once each."""
        from ray import data

        size = min(MAX_BATCH, ceil(len(items) / (BATCHES_PER_SLOT * self.slots)) or 1)
        batches = [{"items": pickle.dumps(items[row : row + size])} for row in range(0, len(items), size)]
        if not batches:
            return
        context = data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers = data.ActorPoolStrategy(min_size=1, initial_size=self.slots)  # and more if nodes join
        results = data.from_items(batches, override_num_blocks=len(batches)).map_batches(
            _Worker,
            fn_constructor_args=(_expected(), self.threads, start),
            batch_size=None,
            compute=workers,
            num_cpus=self.threads,
        )
        with self._named_errors():
            for block in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for cell in block["results"]:
                    answers = pickle.loads(cell.as_py())  # noqa: S301  # from `_Worker`
                    if isinstance(answers, DigitsError):
                        raise answers
                    yield from answers

    def _count_slots(self, place: str) -> int:
        """Return how many tasks the nodes have room for; raise `DigitsError` if there is none."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        rooms = [
            min(
                int(node.get("CPU", 0)) // self.threads,
                int(node.get("GPU", 0)) // self.gpus if self.gpus else int(node.get("CPU", 0)),
            )
            for node in nodes
        ]
        if not sum(rooms):
            needed = f"{self.threads} processors" if self.threads > 1 else "a processor"
            needed += " and a GPU" if self.gpus else ""
            raise DigitsError(
                f"no node of the Ray cluster at {place} has {needed} for a task; OMP_NUM_THREADS=1 "
                "needs one, and changes the last bits of the weights"
            )
        processors = count(sum(int(node.get("CPU", 0)) for node in nodes), "processor")
        where = "on this machine" if place == "local" else f"at {place}"
        log.info("Ray runs %s, on %s with %s", where, count(len(nodes), "node"), processors)
        return sum(rooms)

    def _pass_on(self, future: Future[Result], done: Future[Result]) -> None:
        """Give the outcome of a task of Ray's to a future, with errors as they were raised there."""
        try:
            with self._named_errors():
                result = done.result()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn Ray's errors into what a task raised, or into a `DigitsError`."""
        try:
            yield
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Exception):
                raise error.cause from error
            raise
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise DigitsError(
                f"Ray could not finish this: {first_line(error).rstrip('.')}; the same command resumes"
            ) from error


class _Worker:
    """An actor's function: takes batches of items, and keeps what `start` returned."""

    def __init__(
        self,
        expected: dict[str, str],
        threads: int,
        start: Callable[[], Callable[[Any], Any]],
    ) -> None:
        self._work: Callable[[Any], Any] | None = None
        try:
            _check_place(expected)
            _use_threads(threads)
            self._work = start()
        except DigitsError as error:  # Ray's own error would not be one sentence
            self._refusal = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Return the results for the items of each row."""
        return {"results": [pickle.dumps(self._answer(pickle.loads(row))) for row in batch["items"]]}  # noqa: S301

    def _answer(self, items: Sequence[Any]) -> list[Any] | DigitsError:
        """Return the results for items, or why this worker could not start."""
        return self._refusal if self._work is None else list(map(self._work, items))


def _run_task(expected: dict[str, str], threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    _check_place(expected)
    _use_threads(threads)
    return function(*arguments)


def _expected() -> dict[str, str]:
    """Return what a worker has in common with this process."""
    return {"digit-recognizer": __version__, "folder": str(Path.cwd())}


def _check_place(expected: dict[str, str]) -> None:
    """Enter the folder of the process that asked; raise `DigitsError` for another version."""
    if expected["digit-recognizer"] != __version__:
        raise DigitsError(
            f"the machine {platform.node()} has digit-recognizer {__version__}; expected "
            f"{expected['digit-recognizer']}, as here: install the same on all machines"
        )
    with suppress(OSError):  # what is not there is said by what looks for it
        os.chdir(expected["folder"])


def _use_threads(threads: int) -> None:
    """Let libraries that are imported from now on use as many threads; results depend on their number."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    shorten_spinning()


def _import_ray() -> Any:
    # of a local cluster; Ray's workers would otherwise wait for every other program (15)
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else, restarts print pages
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else, a warning about its next default
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise DigitsError(
            f'the package {error.name} is missing: run pip install "digit-recognizer[ray]"'
        ) from error
    return ray


def _connect(ray: Any, place: str, processors: int) -> None:
    if "://" in place:
        raise DigitsError(
            f"{ADDRESS} is {place}; expected the address of a head node, such as {EXAMPLE_ADDRESS}, and this "
            "command on a machine of the cluster"
        )
    if place == "local":
        own = {
            "num_cpus": processors,
            "object_store_memory": _object_store_bytes(),
            "include_dashboard": False,
        }
    else:
        _check_answers(place)
        own = {}
    try:
        with _without_native_output():
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray raises errors of many kinds here
        ray.shutdown()  # it may be connected by half
        raise DigitsError(f"cannot use the Ray cluster at {place}: {' '.join(str(error).split())}") from error
    # messages about lost workers, of a hundred lines each, would stand among the results
    ray._private.worker._worker_logs_enabled = False


@contextmanager
def _without_native_output() -> Iterator[None]:
    """Drop what Ray's C++ code writes to standard error; its exceptions say the same."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_answers(place: str) -> None:
    """Raise `DigitsError` unless something listens at an address."""
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        if place == "auto":
            return
        raise DigitsError(
            f"{ADDRESS} is {place!r}; expected the address of a head node, such as {EXAMPLE_ADDRESS}, "
            "or auto, or local"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DigitsError(
            f"no Ray cluster answers at {place}: {reason}; start one with 'ray start --head', or correct "
            f"{ADDRESS}"
        ) from error


def _object_store_bytes() -> int:
    """Return how much memory a local cluster reserves for values that tasks share."""
    with suppress(OSError):
        free = shutil.disk_usage("/dev/shm").free  # noqa: S108  # where Linux keeps shared memory
        return max(MIN_OBJECT_STORE_BYTES, min(OBJECT_STORE_BYTES, free // 2))
    return OBJECT_STORE_BYTES
