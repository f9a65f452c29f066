"""Sentences with a tag a word, as in named-entity recognition: CoNLL files, plain or .gz, one for each part, or one for
all."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart, missing, with_test
from transfer_cli.data.formats.conll import Sentence, Tagged, read_conll
from transfer_cli.data.formats.targets import CLASS
from transfer_cli.data.readers.text import read_text
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.metrics.spans import OUTSIDE, split
from transfer_cli.ranges import Range

SPELLINGS = {
    "train": {"train", "training"},
    "val": {"dev", "devel", "development", "val", "valid", "validation", "testa"},
    "test": {"test", "testb"},
}


class Conll:
    """Sentences from `path`, a file or a folder whose file names say train, dev (devel, val, valid, testa) and test
    (testb), or from the folder `name` of the data folder. The word is the first column, its tag the last or
    `tag_column` (0 is the first). Tags in IOB1, IOB2 or BIOES are read as IOB2. A text is the words joined by single
    spaces; a space inside a word becomes a no-break space."""

    def __init__(
        self,
        *,
        path: str | None = None,
        name: str | None = None,
        tag_column: Annotated[int, Range(1)] | None = None,
        encoding: str = "utf-8",
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.name, self.tag_column = path, name, tag_column
        self.encoding, self.test_fraction = encoding, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with texts and tags; the tags are "O", then B- and I- of each type. DataError for files that are missing,
        or hold a line that is no word with a tag."""
        files, ignored = self._files(places)
        tagged = {part: read_conll(file, read_text(file, self.encoding), self.tag_column) for part, file in files}
        names = _tags(tagged)
        parts = {part: _rows(file, tagged[part].sentences, names) for part, file in files}
        dialects = list(dict.fromkeys(each.dialect for each in tagged.values()))
        return Raw(
            self.path or self.name or "", (CLASS,), with_test(parts), tuple(file for _, file in files), flip=False,
            kind="texts", task="tag", targets=names, test_fraction=self.test_fraction, ignored=ignored,
            layout=f"sentences with tags, {'; '.join(dialects)}, parts {', '.join(parts)}",
        )  # fmt: skip

    def _files(self, places: Places) -> tuple[list[tuple[str, Path]], tuple[str, ...]]:
        """(part, file) of each part, train first, and the names of files that belong to no part."""
        if self.path is not None:
            path = Path(self.path).expanduser()
            if path.is_file():
                return [("train", path)], ()
            if not path.is_dir():
                raise DataError(Fault(places.word, "no such folder or file", self.path))
            return _by_spelling(path)
        if self.name is None:
            text = "has no value; wants a CoNLL file or a folder of them"
            raise ConfigError(Fault(f"{places.word}.path", text, do="data=conll data.path=./entities"))
        inside = (root / "text" / self.name for root in places.roots(self.name))
        folder = places.folder(self.name) or next((folder for folder in inside if folder.is_dir()), None)
        if folder is None:
            wanted = f"the folder text/{self.name} with train, dev and test files"
            raise DataError(missing(places.word, self.name, wanted, 1, fetch=False))
        return _by_spelling(folder)


def _by_spelling(folder: Path) -> tuple[list[tuple[str, Path]], tuple[str, ...]]:
    files = {part: list[Path]() for part in PARTS}
    ignored = []
    for file in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        words = set(re.findall("[a-z]+", file.name.lower()))
        part = next((part for part, spellings in SPELLINGS.items() if spellings & words), None)
        files[part].append(file) if part else ignored.append(file.name)
    for part, same in files.items():
        if len(same) > 1:
            text = f"{len(same)} files are its {part} part: {', '.join(file.name for file in same)}"
            raise DataError(Fault(str(folder), text))
    if not files["train"]:
        known = ", ".join([file.name for same in files.values() for file in same] + ignored) or "none"
        raise DataError(Fault(str(folder), f"no file whose name says train; files: {known[:200]}"))
    return [(part, same[0]) for part, same in files.items() if same], tuple(ignored)


def _tags(tagged: Mapping[str, Tagged]) -> tuple[str, ...]:
    """ "O", then B- and I- of each type in any part, sorted by type."""
    types = {split(tag)[1] for part in tagged.values() for sentence in part.sentences for tag in sentence.tags}
    return OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(types - {""}) for prefix in "BI")


def _rows(file: Path, sentences: Sequence[Sentence], names: Sequence[str]) -> RawPart:
    number = {tag: place for place, tag in enumerate(names)}
    tags = [np.array([number[tag] for tag in sentence.tags], np.int64) for sentence in sentences]
    texts = [" ".join(sentence.words) for sentence in sentences]
    return RawPart(
        np.zeros(len(texts), np.int64),
        lambda row: f"{file.name} line {sentences[row].line}",
        rows=lambda: texts,
        targets=tags,
    )
