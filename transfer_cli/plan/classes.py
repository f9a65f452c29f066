"""Whether source, target and net agree on classes, and which classes the labels of a stage are numbered by."""

from collections.abc import Sequence

from transfer_cli.data.dataset import UNKNOWN, DataSet
from transfer_cli.errors import DataError, Fault


def learned(what: str, allowed: str, source: DataSet, target: DataSet) -> tuple[str, ...]:
    """Classes that a method (`what`) numbers labels of both sides by, () where both have the same: with `allowed`
    "partial" those of the source, of which the target may lack some; with "open" those of the source and UNKNOWN, which
    stands for all others of the target. Raises DataError where the classes differ in another way."""
    ours, theirs = target.classes, source.classes
    if allowed == "partial":
        _demand(set(ours) <= set(theirs), f"{what} needs a source with all classes", source.title, theirs, target)
        return theirs
    if allowed == "open":
        fits = set(theirs) <= set(ours) and UNKNOWN not in ours
        _demand(fits, f"{what} needs a target with all classes, none named {UNKNOWN}", source.title, theirs, target)
        return (*theirs, UNKNOWN)
    _demand(ours == theirs, f"{what} needs the same classes", source.title, theirs, target)
    return ()


def scored(known: Sequence[str] | None, knows_unknown: bool, target: DataSet) -> tuple[str, ...]:
    """Classes that a net answers with (`known`, None: not known yet), where they are not just the target's, else ().
    Rows of a class that it does not know count as UNKNOWN if that is one of its answers. Labels, numbers and tags
    must be just those of the net. Raises DataError if not."""
    if known is None or tuple(known) == target.names:
        return ()
    fits = knows_unknown or (target.raw.has_classes and set(target.names) <= set(known))
    _demand(fits, "evaluate: the net's classes are not the target's", "the net's", known, target)
    return tuple(known)


def _demand(fits: bool, fault: str, title: str, classes: Sequence[str], target: DataSet) -> None:
    if fits:
        return
    mine, shared = target.names, len(set(classes) & set(target.names))
    text = f"{title} {len(classes)}, {target.title} {len(mine)}, {shared} shared"
    raise DataError(Fault(fault, text, do="strategy=fine_tune, or choose classes with data.classes"))
