"""Checks whether the classes of source, target and net agree. Returns the classes by which labels are numbered."""

from collections.abc import Sequence

from transfer_cli.data.dataset import UNKNOWN, DataSet
from transfer_cli.errors import DataError, Fault
from transfer_cli.plan.tasks import PlannedTask


def learned(what: str, allowed: str, source: DataSet, target: DataSet) -> tuple[str, ...]:
    """The classes by which a method (`what`) numbers the labels of source and target; () if both have the same classes.
    `allowed`, how they may differ: "partial", the classes of the source, some of which the target may lack; "open", the
    classes of the source and UNKNOWN, which contains all other classes of the target. Raises DataError if the classes
    differ in another way."""
    of_target, of_source = target.classes, source.classes
    if allowed == "partial":
        fits = set(of_target) <= set(of_source)
        _demand(fits, f"{what} needs a source with all classes", source.title, of_source, target)
        return of_source
    if allowed == "open":
        fits = set(of_source) <= set(of_target) and UNKNOWN not in of_target
        _demand(fits, f"{what} needs a target with all classes, none named {UNKNOWN}", source.title, of_source, target)
        return (*of_source, UNKNOWN)
    _demand(of_target == of_source, f"{what} needs the same classes", source.title, of_source, target)
    return ()


def scored(known: Sequence[str] | None, knows_unknown: bool, target: DataSet, task: PlannedTask) -> tuple[str, ...]:
    """The classes of the net (`known`; None: not known yet) if they differ from those of the target, otherwise (). With
    `knows_unknown` the last class of the net is UNKNOWN, which then contains rows of classes that the net does not
    have. Raises DataError if the target has other classes and the net has no class UNKNOWN, and if the labels, numbers
    or tags of another task differ at all. A task whose labels are computed from the row has no names to compare."""
    if known is None or tuple(known) == target.names or task.labels == "free":
        return ()
    if "classes" not in task.offers:
        _demand(False, f"evaluate: the net's {task.outputs} are not the target's", "the net's", known, target)
    fits = knows_unknown or set(target.names) <= set(known)
    _demand(fits, "evaluate: the net's classes are not the target's", "the net's", known, target)
    return tuple(known)


def _demand(fits: bool, fault: str, title: str, classes: Sequence[str], target: DataSet) -> None:
    if fits:
        return
    shared = len(set(classes) & set(target.names))
    text = f"{title} {len(classes)}, {target.title} {len(target.names)}, {shared} shared"
    raise DataError(Fault(fault, text, do="strategy=fine_tune, or choose classes with data.classes"))
