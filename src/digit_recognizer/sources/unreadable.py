"""Files that are often given and are no source of digits: what each is, and what to do with it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

HEAD_BYTES = 600
MAX_TITLE_CHARACTERS = 60
AS_CSV_OR_NPZ = "save its arrays with numpy.savez(file, images=…, labels=…)"
AGAIN = "download the file again, logged in if the site asks for it"
TURN_EMNIST = "EMNIST's images need images.reshape(-1, 28, 28).transpose(0, 2, 1)"
R_FILE, R_ADVICE = "a file of R", "write the table with write.csv"
PICKLE = "a Python pickle, which may run code when it is opened"
IF_TRUSTED = f"if you trust it, {AS_CSV_OR_NPZ}"
IN_FOLDERS = (
    "put pictures into folders named 0 to 9, one for each digit, or list them in a CSV of file,label; "
    "for a photo, use 'digits read'"
)
KINDS: tuple[
    tuple[bytes, str, str], ...
] = (  # first bytes, what it is, what to do with a source of that kind
    (b"\x89HDF\r\n", "an HDF5 file, as Keras and h5py write", AS_CSV_OR_NPZ),
    (b"MATLAB 5.0", "a MATLAB file", f"load it with scipy.io.loadmat and {AS_CSV_OR_NPZ}; {TURN_EMNIST}"),
    *((bytes((0x80, version)), PICKLE, IF_TRUSTED) for version in range(2, 6)),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it with 'git lfs pull'"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"ARROW1", "an Arrow or Feather file", "save it as Parquet"),
    (b"FEA1", "a Feather file", "save it as Parquet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the folder"),
    (b"Rar!", "a RAR archive", "unpack it and name the folder"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it with 'unzstd'"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save the sheet as CSV"),
    (b"%PDF", "a PDF", IN_FOLDERS),
    (b"\x89PNG", "a single PNG picture", IN_FOLDERS),
    (b"\xff\xd8\xff", "a single JPEG picture", IN_FOLDERS),
    (b"GIF8", "a single GIF picture", IN_FOLDERS),
    (b"RIFF", "a single WebP picture", IN_FOLDERS),
    (b"II*\0", "a single TIFF picture", IN_FOLDERS),
    (b"MM\0*", "a single TIFF picture", IN_FOLDERS),
    (b"{", "JSON", "save the digits as CSV or .npz"),
    (b"[", "JSON", "save the digits as CSV or .npz"),
)
SUFFIXES = {  # of formats whose first bytes say nothing
    ".rds": (R_FILE, R_ADVICE),
    ".rda": (R_FILE, R_ADVICE),
    ".rdata": (R_FILE, R_ADVICE),
    ".tfrecord": ("a TFRecord file", AS_CSV_OR_NPZ),
    ".tfrecords": ("a TFRecord file", AS_CSV_OR_NPZ),
    ".pkl": (PICKLE, IF_TRUSTED),
    ".pickle": (PICKLE, IF_TRUSTED),
    ".safetensors": ("a file of weights, not of digits", "name the run folder as the model"),
    ".onnx": ("a model, not digits", "name it before the source"),
    ".bmp": ("a single BMP picture", IN_FOLDERS),
    ".arrow": ("an Arrow file", "save it as Parquet, as in dataset.to_parquet('train.parquet')"),
    ".msgpack": ("a MessagePack file", AS_CSV_OR_NPZ),
}
ZIP_MEMBERS = {  # what a zip archive is, by the end of the name of a member
    "/data.pkl": ("a PyTorch file", f"load it with torch.load and {AS_CSV_OR_NPZ}"),
    "[Content_Types].xml": ("an Excel or Word file", "save the sheet as CSV"),
    "mimetype": ("an OpenDocument file", "save the sheet as CSV"),
    "model.weights.h5": ("a Keras model", "name the images it was trained on instead"),
}
SPARSE = re.compile(rb"\s*[-+]?\d+(?:\.0*)?(?:\s+\d+:[\d.eE+-]+){3}")  # 5 153:3 154:18
TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*(?:</title|$)", re.IGNORECASE | re.DOTALL)


def kind_of_file(path: Path) -> str | None:
    """Return what a file is that holds no digits and is no model: "an HDF5 file, …"; None if unknown."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                found = kind_of_zip(archive.namelist())
        else:
            found = kind_of_bytes(path.name, head)
    except (OSError, zipfile.BadZipFile):
        return None
    return None if found is None or path.suffix.lower() == ".onnx" else found[0]


def kind_of_bytes(name: str, head: bytes) -> tuple[str, str] | None:
    """Return what a file is, and what to do with it, by its first bytes and its name; None if unknown."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb"<!doctype html|<html|<\?xml|<head|<script", start, re.IGNORECASE):
        import html

        text = start.decode("utf-8", "replace")
        title = TITLE.search(text)
        named = f" ({html.unescape(title[1])[:MAX_TITLE_CHARACTERS]})" if title and title[1] else ""
        return f"a web page{named}, not data", AGAIN
    if SPARSE.match(head):
        return (
            "text in LIBSVM's sparse format",
            "name the file itself as the source",
        )
    if start.startswith(b"{") and re.search(rb'"(code|error|message)"', start):
        return "an error message of a server, not data", AGAIN
    for magic, kind, advice in KINDS:
        if head.startswith(magic):
            return kind, advice
    name = re.sub(r"(\.tfrecord)-\d+-of-\d+$", r"\1", name.lower())  # as TensorFlow Datasets names its parts
    return SUFFIXES.get(Path(name).suffix)


def kind_of_zip(members: list[str]) -> tuple[str, str] | None:
    """Return what a zip archive is that holds no digits, and what to do with it; None if unknown."""
    for end, found in ZIP_MEMBERS.items():
        if any(member.endswith(end) and member.count("/") <= 1 for member in members):
            return found
    return None
