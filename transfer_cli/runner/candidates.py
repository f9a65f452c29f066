"""The candidate sources of a command line, as plans. Each candidate is one net, described by the words shared by all
and by its own words. Nothing is trained here: the net of a source is in the store, or it counts as missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from transfer_cli.config.compose import Config, load
from transfer_cli.config.loader import search_path
from transfer_cli.config.words import expand, parse
from transfer_cli.errors import ConfigError, Fault, TransferError
from transfer_cli.plan.origin import run_of
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report.screen import Screen
from transfer_cli.runner.local_inventory import data_sets
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import fetch_hub, fetch_missing, plan_all, plan_one
from transfer_cli.safe import safe
from transfer_cli.store.store import Store

NAMES = ("model", "weights", "source")  # words that name a candidate; their dotted settings may be shared by all
KNOWN = ("data", "seed", "trainer", "runtime", "plugins", *NAMES, "pretrain")
EXAMPLE = "transfer rank data=usps source=none,mnist"


@dataclass(frozen=True)
class Candidate:
    """One candidate. `words`: words of `transfer run`; `name`: the model and the data it was trained on; `here`:
    whether the net is available without training; `trained_on_target`: whether it was trained on the target's own
    data."""

    words: tuple[str, ...]
    plan: Plan
    name: str
    here: bool
    trained_on_target: bool

    @property
    def untaught(self) -> bool:
        """Whether the net has random weights."""
        return "init" in self.net

    def to_run(self, strategy: str) -> list[str]:
        """Words of a run of `strategy` from this candidate; an untrained net runs scratch instead."""
        if not self.untaught:
            return [f"strategy={strategy}", *self.words]
        words = [word for word in self.words if word not in ("source=none", "weights=none")]
        # with source=base the target has only part of the classes; source=none would give it all of them
        base = self.plan.values["source"]["family"] == "base"
        return ["strategy=scratch", *([] if base else ["source=none"]), *words]

    @property
    def probe(self) -> Stage:
        """The linear probe of the plan: a ranking uses the net and the rows that this stage reads."""
        return probe_of(self.plan)

    @property
    def net(self) -> Mapping[str, Any]:
        """A reference to the net: the key and rule of a stage, or the seed of an untrained net."""
        return dict(self.probe.spec["net"])


def candidates(options: Options, screen: Screen) -> list[Candidate]:
    """Every source that the words and `--candidate` name, each once; if they name none, the data sets in the data
    folder. Raises ConfigError for words that train on the target, and if candidates would be scored on different
    rows."""
    words = [*options.words, *_data_words(options)]
    _check(words, options)
    shared, own = [w for w in words if parse(w).key not in NAMES], [w for w in words if parse(w).key in NAMES]
    offered = not own and not options.candidates
    sets = [own] * bool(own or offered) + [list(each) for each in options.candidates]
    of_each = list(_combinations(shared, sets, options))
    fetch_hub([word for each in of_each for word in each], options, screen)
    configs = [_config(each, options) for each in of_each]
    fetch_missing(configs, options, screen)
    plans = dict(zip(of_each, _plans(configs, options), strict=True))
    if offered:
        plans |= _offered(of_each[0], options)
    candidate_list = [_candidate(each, plan, options.runs) for each, plan in plans.items()]
    _check_same_rows(candidate_list)
    return _with_distinct_names(candidate_list)


def _plans(configs: Sequence[Config], options: Options) -> list[Plan]:
    """The plan of each candidate. Data without classes are refused as such: the user named no linear probe, so an
    error about one would say nothing."""
    try:
        return plan_all(configs, options)
    except ConfigError:
        from transfer_cli.data.open import describe

        values = configs[0].values
        data = describe(values["data"], cache=options.runs / ".cache", plugins=tuple(values["plugins"]))
        if data is None or data.raw.has_classes:
            raise
        raise ConfigError(
            Fault("data", f"its task is {data.raw.task}, and {options.command} needs classes", data.title)
        ) from None


def probe_of(plan: Plan) -> Stage:
    """The linear probe of a candidate's plan."""
    return next(stage for stage in plan.stages if stage.name == "fine_tune")


def _data_words(options: Options) -> list[str]:
    if len(options.args) > 1:
        raise ConfigError(Fault(" ".join(options.args), f"{options.command} takes one DATA", do=EXAMPLE))
    return [f"data={text}" for text in options.args]


def _check(words: Sequence[str], options: Options) -> None:
    """Raises ConfigError for words that train on the target, if no word names the target, and for a candidate that
    names its own target."""
    faults, sets = [], options.candidates
    for word in map(parse, [*words, *(word for each in sets for word in each)]):
        if word.top not in KNOWN:
            text = f"rank trains nothing; its words are {', '.join(KNOWN)}"
            faults.append(Fault(word.key, text, word.value))
    for word in map(parse, [word for each in sets for word in each]):
        if word.top in ("data", "seed", "runtime", "plugins"):
            faults.append(Fault(word.key, "is the same for all candidates; give it outside --candidate", word.value))
    if not any(parse(word).top == "data" for word in words):
        faults.append(Fault(options.command, "needs a target", do=EXAMPLE))
    if faults:
        raise ConfigError(*faults)


def _combinations(
    shared: Sequence[str], sets: Sequence[Sequence[str]], options: Options
) -> dict[tuple[str, ...], None]:
    """The words of every candidate, without duplicates: all combinations of values within each set."""
    search = search_path(shared, options.config_dirs)
    runs = [run for each in sets for run in expand([*shared, *each], multirun=True, seeds=None, search=search)]
    return dict.fromkeys(map(tuple, runs))


def _config(words: Sequence[str], options: Options) -> Config:
    """The configuration of a candidate. Without the word source there is no source; without source and weights the net
    is untrained."""
    values = {word.key: word.value for word in map(parse, words)}
    more = [] if "source" in values else ["source=none"]
    if values.get("source", "none") == values.get("weights", "none") == "none" and "pretrain" not in values:
        more.append("pretrain=none")
    return load([*words, *more, "strategy=linear_probe"], config_dirs=options.config_dirs)


def _offered(words: tuple[str, ...], options: Options) -> dict[tuple[str, ...], Plan]:
    """Plans with the data sets on this machine as sources, for those that the net can read and was trained on
    before."""
    plans = {}
    for name in data_sets(options.runs):
        named = (*words, f"source={name}")
        try:
            plan = plan_one(_config(named, options), options)
        except TransferError:  # the net cannot read these data, or files are missing; no error, as no word names them
            continue
        if plan.source and plan.source.fingerprint != plan.target.fingerprint and _here(plan, options.runs):
            plans[named] = plan
    return plans


def _here(plan: Plan, runs: Path) -> bool:
    ref = probe_of(plan).spec["net"]
    return "init" in ref or plan.weights is not None or Store(runs / ".store", create=False).done(ref["key"])


def _candidate(words: tuple[str, ...], plan: Plan, runs: Path) -> Candidate:
    weights, model = str(plan.values["weights"]), plan.values["model"]
    start, learned = weights, []
    if plan.source:
        start = PurePath(plan.source.title).name
        learned = [plan.source.fingerprint] if plan.values["source"]["family"] != "base" else []
    elif plan.weights and weights != "imagenet":
        start = "weights"
    if weights not in ("none", "imagenet") and plan.weights is None:
        run = run_of(runs, weights)
        start = f"run {run['id']}"
        learned = [run["fingerprints"][side] for side in ("target", "source") if side in run["fingerprints"]]
    name = safe(f"{model.get('name') or plan.config.choices['model']} {start}")
    return Candidate(words, plan, name, _here(plan, runs), plan.target.fingerprint in learned)


def _check_same_rows(candidate_list: Sequence[Candidate]) -> None:
    rows = {str(_rows_of(each.plan)): each for each in reversed(candidate_list)}
    if len(rows) > 1:
        other, first = list(rows.values())[:2]
        text = f"{first.name} and {other.name} would be scored on different rows of {first.plan.target.name}"
        raise ConfigError(Fault("rank", text, do="one seed, and source=base alone or not at all"))


def _rows_of(plan: Plan) -> Any:
    return plan.target.key("train", labelled=True, seed=probe_of(plan).seed)


def _with_distinct_names(candidate_list: Sequence[Candidate]) -> list[Candidate]:
    """The candidates; to names that occur several times, the words in which the candidates differ are added."""
    ambiguous = {each.name for each in candidate_list if sum(other.name == each.name for other in candidate_list) > 1}
    common = set.intersection(*(set(each.words) for each in candidate_list))
    return [
        replace(each, name=safe(" ".join([each.name, *(w for w in each.words if w not in common)])))
        if each.name in ambiguous
        else each
        for each in candidate_list
    ]
