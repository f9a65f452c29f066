"""Selection of classes by name or position, the split of classes for source=base, and titles of data sets."""

from collections.abc import Sequence

from transfer_cli.data.contracts import Raw
from transfer_cli.errors import DataError, Fault, nearest

Selection = Sequence[str | int] | None


def chosen(known: Sequence[str], selection: Selection, word: str, name: str) -> list[int]:
    """Positions of the requested classes, in the requested order; None means all. Integers are positions, strings are
    names. Raises DataError for unknown or repeated classes, or fewer than two."""
    places = list(range(len(known))) if selection is None else [_place(known, item, word, name) for item in selection]
    _two([known[place] for place in places], *((f"{word}.classes", None) if selection is not None else (word, name)))
    if twice := sorted({known[place] for place in places if places.count(place) > 1}):
        raise DataError(Fault(f"{word}.classes", f"given twice: {', '.join(twice)}"))
    return places


def _place(known: Sequence[str], item: str | int, word: str, name: str) -> int:
    if isinstance(item, int) and 0 <= item < len(known):
        return item
    if item in known:
        return known.index(str(item))
    near = None if isinstance(item, int) else nearest(item, known)
    text = f"{name} has no such class; positions are 0 to {len(known) - 1}"
    raise DataError(Fault(f"{word}.classes", text, str(item), allowed=tuple(known), nearest=near))


def _two(names: Sequence[str], key: str, value: str | None) -> None:
    if len(names) < 2:
        count = f"only 1 class, {names[0]}" if names else "no classes"
        raise DataError(Fault(key, f"{count}; a classifier needs 2 or more", value))


def base_and_novel(raw: Raw, novel: Selection, base: Selection) -> tuple[list[str], list[str]]:
    """Classes of (source, target) for source=base. The target has the classes in `novel`, by default the second half;
    the source has the classes in `base`, by default all others. Raises DataError if both share a class or one has fewer
    than two."""
    half = len(raw.classes) // 2
    target = list(range(half, len(raw.classes))) if novel is None else chosen(raw.classes, novel, "data", raw.name)
    others = [place for place in range(len(raw.classes)) if place not in target]
    source = others if base is None else chosen(raw.classes, base, "source", raw.name)
    if shared := [raw.classes[place] for place in source if place in target]:
        raise DataError(Fault("source.classes", f"base and target share {', '.join(shared)}"))
    if len(source) < 2 or len(target) < 2:
        raise DataError(_too_small(raw, len(source), len(target)))
    return [raw.classes[place] for place in source], [raw.classes[place] for place in target]


def _too_small(raw: Raw, base: int, novel: int) -> Fault:
    text = f"of {len(raw.classes)} classes of {raw.name} {base} would be base and {novel} target; both need 2 or more"
    return Fault("source", text, "base", do="source=none, or say which with data.classes")


def title(raw: Raw, picked: Sequence[int]) -> str:
    """The title of chosen classes: `usps`, `cifar10 classes 5-9`, `cifar10 classes cat, dog`, or
    `cifar10, 6 of 10 classes`."""
    if list(picked) == list(range(len(raw.classes))):
        return raw.name
    if list(picked) == list(range(picked[0], picked[-1] + 1)):
        return f"{raw.name} classes {picked[0]}-{picked[-1]}"
    if len(picked) <= 4:
        return f"{raw.name} classes {', '.join(raw.classes[place] for place in picked)}"
    return f"{raw.name}, {len(picked)} of {len(raw.classes)} classes"
