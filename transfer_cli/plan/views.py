"""Plans views: additional scores of a net by domain, by group of classes, or under attack."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transfer_cli.data.dataset import DataSet
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.plan.plan import Json
from transfer_cli.plan.tasks import PlannedTask

ATTACKS = {"fgsm": 1, "pgd": 10}  # name -> steps
EPS = 0.03  # largest change of an input, in units of pixels from 0 to 1 or of a column's standard deviation
OVERSHOOT = 2.5  # the total length of an attack's steps in units of eps, so that it can reach every corner of the cube
KEY = "evaluate.views"
DO = "evaluate.views=[domains, classes, fgsm, {attack: pgd, eps: 0.1}]"


def views_of(node: Json, data: DataSet, task: PlannedTask) -> list[Json]:
    """The views of `evaluate.views`, each with a name. Raises ConfigError for views that these data do not have,
    and for classes of a task that learns none."""
    items = node["views"]
    if items and node["way"]:
        raise ConfigError(Fault(KEY, "episodes have no views", do="leave evaluate.way out"))
    views = [view for item in items for view in _views(item, data, task, node["part"])]
    names = [view["name"] for view in views]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(Fault(KEY, f"given twice: {', '.join(twice)}"))
    return views


def _views(item: Any, data: DataSet, task: PlannedTask, part: Any) -> Iterator[Json]:
    """The views of one item: a name such as `domains`, `classes` or `pgd`, or a mapping such as
    {classes: [[0, 1], [2, 3]]} or {attack: pgd, eps: 0.1, steps: 10}."""
    settings = {item: None} if isinstance(item, str) else item if isinstance(item, Mapping) else {}
    name = next(iter(settings), None)
    if name in ATTACKS and settings[name] is None:
        settings, name = {"attack": name}, "attack"
    makers: dict[Any, Callable[[], Iterator[Json]]] = {
        "domains": lambda: _domains(data, part),
        "classes": lambda: _classes(data, task, settings["classes"]),
        "attack": lambda: _attack(settings),
    }
    if name not in makers or (name != "attack" and len(settings) > 1):
        allowed = ("domains", "classes", *ATTACKS, "attack")
        raise ConfigError(Fault(KEY, "no such view", str(item), allowed, nearest(str(name), allowed), DO))
    yield from makers[name]()


def _domains(data: DataSet, part: Any) -> Iterator[Json]:
    domains = data.rows(part).domains
    if domains is None:
        raise ConfigError(Fault(KEY, f"{data.title} has no domains", "domains", do="leave it out"))
    present = set(domains.tolist())
    for number, name in enumerate(data.raw.domains):
        if number in present:
            yield {"name": f"domain {name}", "domain": name}


def _classes(data: DataSet, task: PlannedTask, groups: Any) -> Iterator[Json]:
    """One view per group of classes, given by names or positions; without groups, one view per class."""
    if "classes" not in task.offers:
        text = f"its rows have no classes, the task of {data.title} is {task.name}"
        raise ConfigError(Fault(KEY, text, "classes", do="leave it out"))
    if groups is None:
        groups = [[name] for name in data.classes]
    if not isinstance(groups, list) or not groups or not all(isinstance(group, list) and group for group in groups):
        raise ConfigError(Fault(KEY, "classes must be lists of classes", str(groups), do="{classes: [[0, 1], [2, 3]]}"))
    for group in groups:
        places = [_place(data, item) for item in group]
        yield {"name": _class_title(data, places), "classes": [data.classes[place] for place in places]}


def _place(data: DataSet, item: Any) -> int:
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(data.classes):
        return item
    if item in data.classes:
        return data.classes.index(item)
    text = f"{data.title} has no such class; positions are 0 to {len(data.classes) - 1}"
    near = None if isinstance(item, int) else nearest(str(item), data.classes)
    raise ConfigError(Fault(KEY, text, str(item), data.classes, near))


def _class_title(data: DataSet, places: list[int]) -> str:
    names = [data.classes[place] for place in places]
    if len(places) == 1:
        return f"class {names[0]}"
    if places == list(range(places[0], places[-1] + 1)):
        return f"classes {names[0]} to {names[-1]}"
    return f"classes {', '.join(names)}" if len(names) <= 4 else f"{len(names)} classes from {names[0]}"


def _attack(settings: Mapping[str, Any]) -> Iterator[Json]:
    attack = settings["attack"]
    if not isinstance(attack, str) or attack not in ATTACKS:
        text = "no such attack"
        raise ConfigError(Fault(KEY, text, str(attack), tuple(ATTACKS), nearest(str(attack), tuple(ATTACKS)), DO))
    if unknown := [key for key in settings if key not in ("attack", "eps", "steps", "rate")]:
        raise ConfigError(Fault(KEY, f"{attack} has no setting {unknown[0]}", allowed=("eps", "steps", "rate"), do=DO))
    eps = _positive(settings, "eps", EPS)
    steps = int(_positive(settings, "steps", ATTACKS[attack]))
    if attack == "fgsm" and steps != 1:
        raise ConfigError(Fault(KEY, "fgsm takes one step", f"steps {steps}", do="{attack: pgd, steps: 10}"))
    default_rate = eps if steps == 1 else OVERSHOOT * eps / steps
    rate = _positive(settings, "rate", default_rate)
    yield {"name": f"attack {attack} {eps:g}", "attack": attack, "eps": eps, "steps": steps, "rate": rate}


def _positive(settings: Mapping[str, Any], name: str, default: float) -> float:
    value = settings.get(name, default)
    whole = name == "steps"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if not fits or (whole and value != int(value)):
        raise ConfigError(Fault(KEY, f"{name}: {'whole number' if whole else 'number'} > 0", str(value), do=DO))
    return float(value)
