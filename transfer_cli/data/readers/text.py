"""Plain text for language modelling: a user's file, a named book, or texts that come with Python. A row is a passage of
about a thousand characters, so that cuts, shots and fractions count passages."""

import ast
import codecs
import gzip
import platform
import sysconfig
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from transfer_cli.data.array_cache import put
from transfer_cli.data.contracts import Places, Raw, RawPart, bad_file, missing
from transfer_cli.errors import DataError, Fault
from transfer_cli.ranges import Range

CLASS = "text"
BOOKS = {"tiny_shakespeare": ("input.txt", 1.1)}  # file in the data folder, MB
MOST_BYTES = 2**31
SKIPPED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "site-packages", "__pycache__"}


class Text:
    """One text. Without `path`: `topics`, the language reference in `pydoc_data.topics`, `docstrings`, those of the
    standard library, both of the running Python, or a book of the data folder. The last `test_fraction` of the passages
    is the test part; a passage has `passage` characters on average."""

    def __init__(
        self,
        *,
        path: str | None = None,
        name: Literal["topics", "docstrings", "tiny_shakespeare"] = "topics",
        encoding: str = "utf-8",
        passage: Annotated[int, Range(1)] = 1000,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.07,
    ) -> None:
        self.path, self.name, self.encoding = path, name, encoding
        self.passage, self.test_fraction = passage, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with parts train and test. DataError if the file is missing, empty or not in its encoding."""
        file = self._file(places)
        text = read_text(file, self.encoding)
        passages = list(cut_passages(text, self.passage))
        if len(passages) < 2:
            raise DataError(
                Fault(str(file), f"{len(text):,} characters, want at least two passages of {self.passage:,}")
            )
        first = len(passages) - max(1, round(self.test_fraction * len(passages)))
        title = self.path or self.name
        parts = {"train": _part(title, "train", passages[:first]), "test": _part(title, "test", passages[first:])}
        return Raw(
            title, (CLASS,), parts, (file,), kind="texts", task="language", classified=False, flip=False, layout="text"
        )

    def _file(self, places: Places) -> Path:
        if self.path is not None:
            path = Path(self.path).expanduser()
            if not path.is_file():
                raise DataError(Fault(places.word, "no such file", self.path))
            return path
        if self.name in BOOKS:
            file, size = BOOKS[self.name]
            found = places.find(self.name, file, f"text/{self.name}/{file}")
            if found is None:
                raise DataError(missing(places.word, self.name, file, size, fetch=False))
            return found
        return _embedded(self.name, places.cache)


def _part(title: str, part: str, passages: list[str]) -> RawPart:
    labels = np.zeros(len(passages), np.int64)
    return RawPart(labels, lambda row: f"{title}, passage {row + 1} of {part}", rows=lambda: passages)


def read_text(path: Path, encoding: str) -> str:
    """The text of a file, plain or .gz, with Unix line ends and without a byte order mark. DataError if it is empty,
    larger than 2 GB or holds bytes that are not valid in `encoding`."""
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise DataError(Fault("data.encoding", "no such encoding; utf-8, latin-1, utf-16 ...", encoding)) from None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise bad_file(path, f"unreadable: {error}") from None
    if len(data) > MOST_BYTES:
        raise bad_file(path, f"more than {MOST_BYTES:,} bytes of text")
    try:
        text = data.decode("utf-8-sig" if codec.name == "utf-8" else codec.name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"line {line}: byte 0x{data[error.start]:02x} is no {codec.name}"
        raise DataError(Fault(str(path), found, do="data.encoding=latin-1, or what it was written in")) from None
    except LookupError:  # hex, zip and the like are codecs, but not of text
        raise DataError(Fault("data.encoding", "no encoding of text", encoding)) from None
    if not text.strip():
        raise bad_file(path, "is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut_passages(text: str, size: int) -> Iterator[str]:
    """`text` in pieces that end at a line end, with `size` characters each on average; a line longer than twice `size`
    is cut. The pieces together are the text."""
    piece, length, wanted = list[str](), 0, size
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), 2 * size):
            part = line[start : start + 2 * size]
            piece.append(part)
            length += len(part)
            if length >= wanted:
                yield "".join(piece)
                piece = []
                wanted = (length // size + 1) * size
    if piece:
        yield "".join(piece)


def _embedded(name: str, cache: Path) -> Path:
    """The text of this Python, written to the cache once. Its first line names the version, so that another Python
    gives other content."""
    version = platform.python_version()
    path = cache / "data" / "text" / f"{name}-{version}.txt"
    if not path.is_file():
        found = {"topics": _topics, "docstrings": _docstrings}[name]()
        # sorted by a hash of their names, so that the test part is no alphabetical end
        documents = [text for _, text in sorted(found.items(), key=lambda item: sha256(item[0].encode()).digest())]
        whole = "\n\n".join([f"Python {version}", *(text.strip() for text in documents)]) + "\n"
        put(path, lambda tmp: tmp.write_text(whole, encoding="utf-8", errors="replace"))
    return path


def _topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return dict(topics)


def _docstrings() -> dict[str, str]:
    """Module -> its docstrings, in the order of the file."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in root.rglob("*.py") if not SKIPPED & set(path.relative_to(root).parts)]
    found = {path.relative_to(root).as_posix(): "\n\n".join(_of_module(path)) for path in files}
    return {name: text for name, text in found.items() if text}


def _of_module(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # files that another Python is meant to read
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
    yield from filter(None, texts)


def wants_causal(model: str | None) -> Fault:
    """The fault of a model that sees the tokens it should predict."""
    text = "sees the words it would have to predict; language wants a causal model"
    return Fault("model", text, model, do="model=gpt_tiny")
