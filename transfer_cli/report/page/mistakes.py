"""Mistakes: confusion matrices over all seeds of a group, and the most frequent confusions with example rows."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.run_labels import classes_of
from transfer_cli.analysis.stored_scores import evaluated
from transfer_cli.errors import TransferError
from transfer_cli.report.page.markup import Html, folded, joined, picture, tag
from transfer_cli.report.page.material import SHOWN, Material, Missing

WITH_COUNTS = 20  # the most classes for which a matrix is a table
PAIRS, EXAMPLES = 10, 3
SMALL = 1500  # a picture with fewer bytes is enlarged without smoothing


def matrices(material: Material) -> Html:
    """Confusion matrices of the best groups; all except the first are folded. Raises Missing if there are none."""
    drawn = {material.name(g): _matrix(*tables) for g in material.groups[:SHOWN] if (tables := _counts(g)) is not None}
    if not drawn:
        raise Missing("the evaluate stages of these runs are gone, or have no classes")
    return joined([_first_open(drawn), tag("p", "Rows: what it is; columns: what it was taken for.", class_="quiet")])


def worst(material: Material) -> Html:
    """The most frequent confusions, with example test rows: the rows themselves if the data are available, else their
    names. Raises Missing if there are none."""
    drawn = {}
    for group in material.groups[:SHOWN]:
        if pairs := confused(group):
            drawn[material.name(group)] = tag("div", *(_pair(material, pair) for pair in pairs), class_="mistakes")
    if not drawn:
        raise Missing("no mistakes by name were stored")
    why = material.absent.get("examples")
    note = tag("p", f"Rows by name only: {why}", class_="absent") if why else Html()
    return joined([note, _first_open(drawn)])


def _first_open(drawn: Mapping[str, Html]) -> Html:
    (name, first), *others = drawn.items()
    return joined([tag("h3", name), first, *(folded(name, inside) for name, inside in others)])


def evaluations(group: Group) -> list[Mapping[str, Any]]:
    """The stored results of the evaluate stages of a group's runs, as far as they can be read."""
    results = []
    for run in group.counted:
        try:
            results.append(evaluated(run, group.rule))
        except (TransferError, OSError, ValueError, KeyError, TypeError, IndexError):
            continue
    return results


def confused(group: Group) -> list[dict[str, Any]]:
    """Confused pairs of classes (is, taken_for, count, rows) over all seeds, the most frequent first."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for results in evaluations(group):
        for entry in results.get("confused", ()):
            key = str(entry["is"]), str(entry["taken_for"])
            pair = pairs.setdefault(key, {"is": key[0], "taken_for": key[1], "count": 0, "rows": []})
            pair["count"] += int(entry["count"])
            pair["rows"] = list(dict.fromkeys([*pair["rows"], *map(str, entry["rows"])]))[:EXAMPLES]
    return sorted(pairs.values(), key=lambda pair: -pair["count"])[:PAIRS]


def _pair(material: Material, pair: Mapping[str, Any]) -> Html:
    head = tag("div", tag("b", pair["is"]), " taken for ", tag("b", pair["taken_for"]), f", {pair['count']:,}x")
    return tag(
        "div", head, tag("div", *(_example(material, row) for row in pair["rows"]), class_="row"), class_="mistake"
    )


def _example(material: Material, row: str) -> Html:
    example = material.examples.get(row)
    if isinstance(example, bytes):
        return picture(example, row, None if len(example) < SMALL else "photo")
    return tag("blockquote", example, title=row) if example else tag("span", row, class_="quiet")


def _counts(group: Group) -> tuple[list[list[int]], list[str], int] | None:
    """The sum of the confusion matrices of a group's runs, the classes, and the number of runs; None without a
    matrix."""
    classes = [str(name) for name in classes_of(group.counted[0])]
    results = evaluations(group)
    tables = [each["confusion"] for each in results if len(each.get("confusion", ())) == len(classes)]
    if not tables or not classes:
        return None
    return [[sum(cells) for cells in zip(*rows)] for rows in zip(*tables)], classes, len(tables)


def _matrix(counts: Sequence[Sequence[int]], classes: Sequence[str], runs: int) -> Html:
    if len(classes) > WITH_COUNTS:
        return _dots(counts)
    heads = [tag("th"), *(tag("th", name, scope="col", title=name) for name in classes)]
    rows = [
        tag("tr", tag("th", name, scope="row", title=name), *(_cell(count, max(1, sum(row))) for count in row))
        for name, row in zip(classes, counts)
    ]
    box = tag("div", tag("table", tag("tr", *heads), *rows, class_="matrix"), class_="scroll", tabindex=0)
    return joined([box, tag("p", f"Test rows, summed over {runs} run{'s' * (runs > 1)}.", class_="quiet")])


def _cell(count: int, whole: int) -> Html:
    share = count / whole
    return tag("td", count or "", style=f"background:rgb(var(--cell),{0.75 * share**0.5:.2f})" if count else None)


def _dots(counts: Sequence[Sequence[int]]) -> Html:
    """A matrix of many classes as a picture with one pixel for each cell; dark cells hold many rows. The scale is a
    square root, because each error is only a few %."""
    import numpy as np
    from PIL import Image

    table = np.asarray(counts, dtype=float)
    shares = table / np.maximum(1, table.sum(1, keepdims=True))
    stream = BytesIO()
    Image.fromarray((255 - 235 * shares**0.5).astype(np.uint8)).save(stream, "PNG")
    right = 100 * np.trace(table) / max(1.0, table.sum())
    about = f"confusion matrix of {len(table)} classes, {right:.1f} % on its diagonal"
    return picture(stream.getvalue(), about, "dots")
