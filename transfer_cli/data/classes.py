"""Which classes of a data set are meant: names or positions, halves for source=base, and how a title says it."""

from collections.abc import Sequence

from transfer_cli.data.contracts import Raw
from transfer_cli.errors import DataError, Fault, nearest

Wanted = Sequence[str | int] | None


def chosen(known: Sequence[str], wanted: Wanted, word: str, name: str) -> list[int]:
    """Positions of the wanted classes in the order asked for; all if None. Whole numbers are positions, strings are
    names. DataError for unknown or repeated ones, or fewer than two."""
    places = list(range(len(known))) if wanted is None else [_place(known, item, word, name) for item in wanted]
    _two([known[place] for place in places], *((f"{word}.classes", None) if wanted is not None else (word, name)))
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


def base_and_novel(raw: Raw, novel: Wanted, base: Wanted) -> tuple[list[str], list[str]]:
    """Classes of source and target under source=base: the target keeps those its node names, else the second half;
    the source those its own node names, else all others."""
    half = len(raw.classes) // 2
    kept = list(range(half, len(raw.classes))) if novel is None else chosen(raw.classes, novel, "data", raw.name)
    others = [place for place in range(len(raw.classes)) if place not in kept]
    given = others if base is None else chosen(raw.classes, base, "source", raw.name)
    if shared := [raw.classes[place] for place in given if place in kept]:
        raise DataError(Fault("source.classes", f"base and target share {', '.join(shared)}"))
    if len(given) < 2 or len(kept) < 2:
        raise DataError(_too_small(raw, len(given), len(kept)))
    return [raw.classes[place] for place in given], [raw.classes[place] for place in kept]


def _too_small(raw: Raw, base: int, novel: int) -> Fault:
    text = f"of {len(raw.classes)} classes of {raw.name} {base} would be base and {novel} target; both need 2 or more"
    return Fault("source", text, "base", do="source=none, or say which with data.classes")


def title(raw: Raw, picked: Sequence[int]) -> str:
    """`usps`, `cifar10 classes 5-9`, `cifar10 classes cat, dog`, `cifar10, 6 of 10 classes`."""
    if list(picked) == list(range(len(raw.classes))):
        return raw.name
    if list(picked) == list(range(picked[0], picked[-1] + 1)):
        return f"{raw.name} classes {picked[0]}-{picked[-1]}"
    if len(picked) <= 4:
        return f"{raw.name} classes {', '.join(raw.classes[place] for place in picked)}"
    return f"{raw.name}, {len(picked)} of {len(raw.classes)} classes"
