"""Titles of films with their year or genres: MovieLens latest-small, 9,742 films, movies.csv.gz. Harper & Konstan 2015,
The MovieLens Datasets, ACM TiiS 5(4):19; terms: grouplens.org/datasets/movielens."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np

from transfer_cli.data.contracts import Places, Raw, RawPart, missing
from transfer_cli.data.formats.tables import records
from transfer_cli.data.formats.targets import CLASS, TargetColumns
from transfer_cli.data.readers.text import read_text
from transfer_cli.errors import DataError, Fault
from transfer_cli.ranges import Range

FILE = "movies.csv.gz"
TITLE = re.compile(r"(?P<title>.*?)\s*\((?P<year>\d{4})(?:[-–]\d{0,4})?\)\s*")  # a series gives its first year
NO_GENRES = "(no genres listed)"
TARGET_COLUMNS = {
    "year": TargetColumns("regress", "numbers", ("year",)),
    "genres": TargetColumns("multilabel", "label", ("genres",), "|"),
}


class Film(NamedTuple):
    """A row of the table: `title` without the year in brackets, `year` "" where there is none."""

    row: int
    title: str
    year: str
    genres: str


class Films:
    """The words of a title, and the `year` or the `genres` of the film. Films without it are left out. Films with the
    same title stay in one part; test is 20 % of all, cut by split_seed."""

    def __init__(
        self,
        *,
        learn: Literal["year", "genres"] = "year",
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.2,
    ) -> None:
        self.learn, self.test_fraction = learn, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with texts and targets. DataError if the file is missing or no table of films."""
        file = places.find("movielens_small", FILE)
        if file is None:
            raise DataError(missing(places.word, "movielens_small", f"movielens_small/{FILE}", 1, fetch=False))
        every = _films(file)
        films = [film for film in every if self._cell(film)]
        left_out = len(every) - len(films)
        learned = TARGET_COLUMNS[self.learn].targets([("", (self._cell(film),)) for film in films])
        texts = [film.title for film in films]
        labels = np.zeros(len(films), np.int64)
        rows = RawPart(labels, lambda row: _name(films[row]), rows=lambda: texts, targets=learned.values)
        return Raw(
            f"film_{self.learn}", (CLASS,), {"train": rows}, (file,), kind="texts", flip=False, task=learned.task,
            targets=learned.names, test_fraction=self.test_fraction, layout="titles of films",
            note=f"{left_out:,} of {len(every):,} films have no {self.learn} and are left out",
            groups=_same_titles(films),
        )  # fmt: skip

    def _cell(self, film: Film) -> str:
        return film.year if self.learn == "year" else film.genres


def _films(file: Path) -> list[Film]:
    films = []
    for record in records(file, read_text(file, "utf-8"), header=True, separator=",", max_splits=None):
        if list(record.columns) != ["movieId", "title", "genres"] or len(record.cells) != 3:
            raise DataError(Fault(f"{file} row {record.row}", "wants the columns movieId, title and genres"))
        _, title, genres = record.cells
        parts = TITLE.fullmatch(title)
        name, year = (parts["title"], parts["year"]) if parts and parts["title"] else (title.strip(), "")
        films.append(Film(record.row, name, year, "" if genres == NO_GENRES else genres))
    return films


def _name(film: Film) -> str:
    return f"{FILE} row {film.row}"


def _same_titles(films: Sequence[Film]) -> tuple[tuple[str, ...], ...]:
    """Names of films whose titles differ in case only."""
    same: dict[str, list[str]] = defaultdict(list)
    for film in films:
        same[film.title.casefold()].append(_name(film))
    return tuple(tuple(names) for names in same.values() if len(names) > 1)
