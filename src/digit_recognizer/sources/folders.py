"""Folders of digits, whether on the disk or inside a zip or tar archive, with one interface."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from zipfile import ZipExtFile, ZipFile

from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.streams import (
    BUFFER_BYTES,
    ZIP_MAGIC,
    OnProgress,
    errors_name,
    open_raw,
    open_zip,
    unpacked,
)

HIDDEN_PREFIXES = ("__MACOSX", ".")  # what macOS adds to archives, and hidden files
if TYPE_CHECKING:
    import tarfile

HEAD_BYTES = 1024
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257  # bytes from the start


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: its visible files and folders, by name and sorted.

    Attributes
    ----------
    store
        The disk from some folder on, or an open archive.
    inside
        The path below that; empty at the top.
    """

    store: _Disk | _Archive
    inside: str = ""

    def __str__(self) -> str:
        return self.store.describe(self.inside)

    @property
    def name(self) -> str:
        """The last part of the path; empty at the top of an archive."""
        return PurePosixPath(self.inside).name or self.store.top_name

    @property
    def is_archive(self) -> bool:
        """Whether this is the top of an archive."""
        return isinstance(self.store, _Archive) and not self.inside

    def files(self) -> list[str]:
        """Return the names of the files that are not hidden."""
        return self.store.list(self.inside)[0]

    def folders(self) -> list[str]:
        """Return the names of the folders that are not hidden."""
        return self.store.list(self.inside)[1]

    def file(self, name: str) -> File:
        """Return a file in this folder."""
        return File(self, name)

    def folder(self, name: str) -> Folder:
        """Return a folder in this one."""
        return Folder(self.store, _join(self.inside, name))

    def files_below(self, depth: int) -> Iterator[File]:
        """Yield the files in this folder, then those of the folders in it, down to a depth."""
        yield from (self.file(name) for name in self.files())
        if depth:
            for name in self.folders():
                yield from self.folder(name).files_below(depth - 1)

    def parent(self) -> Folder | None:
        """Return the folder that this one is in, if that can be read."""
        if self.inside:
            return Folder(self.store, _text(PurePosixPath(self.inside).parent))
        if not isinstance(self.store, _Disk):
            return None
        root = self.store.root
        return Folder(_Disk((root if root.name.strip(".") else root.absolute()).parent))

    def members(self) -> list[str]:
        """Return the paths of all files in an archive, in its order; of those in a folder on the disk."""
        return list(self.store.members) if isinstance(self.store, _Archive) else self.files()


@dataclass(frozen=True, slots=True)
class File:
    """A file on the disk or in an archive, which can be opened more than once."""

    folder: Folder
    name: str

    def __str__(self) -> str:
        return self.folder.store.describe(_join(self.folder.inside, self.name))

    def open(self) -> AbstractContextManager[Any]:
        """Open the file as it is stored; it has `peek`, `read` and `tell`."""
        return self.folder.store.open(_join(self.folder.inside, self.name))

    @contextmanager
    def open_unpacked(
        self, on_progress: OnProgress | None = None, buffer_bytes: int = BUFFER_BYTES
    ) -> Iterator[io.BufferedReader]:
        """Open the file for reading its uncompressed bytes."""
        size = self.folder.store.size(_join(self.folder.inside, self.name)) if on_progress else 0
        with self.open() as stored, unpacked(stored, str(self), size, on_progress, buffer_bytes) as stream:
            yield stream

    def head(self, count: int) -> bytes:
        """Return the first bytes, unpacked."""
        with self.open_unpacked(buffer_bytes=count) as stream:
            return stream.read(count)


class _Disk:
    """The disk from a folder on."""

    def __init__(self, root: Path) -> None:
        self.root, self.top_name = root, root.name
        self._listed: dict[str, tuple[list[str], list[str]]] = {}

    def describe(self, path: str) -> str:
        return str(self.root / path)

    def list(self, inside: str) -> tuple[list[str], list[str]]:
        """Return files and folders; a folder is read once."""
        if inside not in self._listed:
            folder = self.root / inside
            with errors_name(str(folder)), os.scandir(folder) as entries:
                names = {each.name: each.is_dir() for each in entries if not is_hidden(each.name)}
            files, folders = (
                [name for name in sorted(names) if names[name] == kind] for kind in (False, True)
            )
            self._listed[inside] = files, folders
        return self._listed[inside]

    def open(self, path: str) -> AbstractContextManager[Any]:
        return open_raw(self.root / path)

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size


class _Archive:
    """An open zip or tar archive: which files are in which folder, and how one is opened."""

    top_name = ""

    def __init__(self, name: str, opened: ZipFile | tarfile.TarFile) -> None:
        self.name, self.opened = name, opened
        self.members: dict[str, Any] = {}  # by path
        self._files: dict[str, list[str]] = {}  # by folder
        self._folders: dict[str, set[str]] = {}
        for member in self._list_members():
            stored = member.filename if isinstance(opened, ZipFile) else member.name
            path = PurePosixPath(stored.replace("\\", "/").lstrip("/"))  # Windows wrote backslashes once
            if any(is_hidden(part) for part in path.parts):
                continue
            parents = [_text(each) for each in path.parents]
            self.members[str(path)] = member
            self._files.setdefault(parents[0], []).append(path.name)
            for inner, outer in pairwise(parents):
                self._folders.setdefault(outer, set()).add(PurePosixPath(inner).name)

    def describe(self, path: str) -> str:
        return f"{self.name}: {path}" if path else self.name

    def list(self, inside: str) -> tuple[list[str], list[str]]:
        return sorted(self._files.get(inside, [])), sorted(self._folders.get(inside, ()))

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        with errors_name(self.describe(path)):
            member, opened = self.members[path], self.opened
            stream = opened.open(member) if isinstance(opened, ZipFile) else opened.extractfile(member)
            assert stream is not None, path  # of a file
            with stream:
                yield stream

    def size(self, path: str) -> int:
        member = self.members[path]
        return int(member.file_size if isinstance(self.opened, ZipFile) else member.size)

    def _list_members(self) -> Iterable[Any]:
        if isinstance(self.opened, ZipFile):
            return [each for each in self.opened.infolist() if not each.is_dir()]
        return [each for each in self.opened.getmembers() if each.isfile()]


@contextmanager
def open_archive(file: File, stored: Any) -> Iterator[Folder | None]:
    """Yield the top folder of an open file that is a zip or tar archive; None if it is none."""
    if stored.peek(4)[:4] in ZIP_MAGIC:
        source = stored
        if isinstance(stored, ZipExtFile):  # an archive in an archive
            with unpacked(stored, str(file)) as stream:
                source = io.BytesIO(stream.read())
        with open_zip(source, str(file)) as archive:
            yield Folder(_Archive(str(file), archive))
        return
    with unpacked(stored, str(file), buffer_bytes=HEAD_BYTES) as stream:
        start = stream.peek(TAR_MAGIC_AT + 8)
        if start[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)] != TAR_MAGIC:
            yield None
            return
        content = io.BytesIO(stream.read())  # a packed tar cannot be read in another order
    import tarfile

    try:
        with tarfile.open(fileobj=content, mode="r:") as tar:
            yield Folder(_Archive(str(file), tar))
    except tarfile.TarError as error:
        raise DigitsError(f"{file} is damaged or incomplete ({error}): download it again") from error


def file_at(path: Path) -> File:
    """Return a file on the disk."""
    return folder_at(path.parent).file(path.name)


def folder_at(path: Path) -> Folder:
    """Return a folder on the disk."""
    return Folder(_Disk(path))


def is_hidden(name: str) -> bool:
    """Return whether a name is hidden by convention."""
    return name.startswith(HIDDEN_PREFIXES)


def _join(inside: str, name: str) -> str:
    return f"{inside}/{name}" if inside else name


def _text(path: PurePosixPath) -> str:
    return "" if str(path) == "." else str(path)
