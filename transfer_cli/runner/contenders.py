"""The pairs of a source and a strategy that `advise` compares, each as the words and the plan of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from transfer_cli.config.compose import load
from transfer_cli.config.loader import search_path
from transfer_cli.config.words import expand, parse
from transfer_cli.errors import ConfigError, Fault, TransferError
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report.screen import Screen
from transfer_cli.runner.candidates import KNOWN, Candidate, candidates
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import plan_one
from transfer_cli.runner.successive_halving import FOLDS, PARTS, Pair, Trial
from transfer_cli.store.store import Store

STRATEGIES = ("linear_probe", "knn", "fine_tune")  # the default if the words name none; scratch is always added


@dataclass(frozen=True)
class Contender:
    """A pair of source and strategy, with its words and its plan for all training steps. `scratch`: it starts from an
    untrained net."""

    source: Candidate
    words: tuple[str, ...]
    plan: Plan
    scratch: bool

    @property
    def strategy(self) -> str:
        return self.plan.config.choices["strategy"]

    @property
    def stepped(self) -> list[Stage]:
        """Stages that train on the target in steps."""
        return [s for s in self.plan.work if s.name != "pretrain" and "trainer" in s.spec]

    def words_of(self, trial: Trial) -> list[str]:
        """Words of one run of the race. Pretraining is unchanged. Each fold uses seed + fold, unless the seed already
        selects the labelled rows."""
        own: dict[str, Any] = {}
        for stage in self.stepped if trial.fold is not None or PARTS[trial.round] > 1 else ():
            if PARTS[trial.round] > 1:
                own[f"{stage.name}.trainer.steps"] = max(1, stage.spec["trainer"]["steps"] // PARTS[trial.round])
            if trial.fold is not None and stage.rule == "final":
                own[f"{stage.name}.trainer.validations"] = 0
        if trial.fold is not None:
            own |= {"data.fold": trial.fold, "data.folds": FOLDS, "evaluate.part": "val"}
            if self.plan.target.view.shots is None and self.plan.target.view.fraction is None:
                own["seed"] = self.plan.values["seed"] + trial.fold
        return [word for word in self.words if parse(word).key not in own] + [f"{k}={v}" for k, v in own.items()]

    def as_pair(self, store: Store) -> Pair:
        """The pair as the race uses it: its amount of work, and the work of a pretraining that is not done yet."""
        learn = [stage for stage in self.plan.work if stage.name == "pretrain" and "trainer" in stage.spec]
        todo = sum(_rows_read(stage) for stage in learn if not store.done(stage.key))
        model = str(self.plan.values["model"])
        return Pair(self.strategy, model, sum(map(_rows_read, self.stepped)), todo, self.scratch)


def _rows_read(stage: Stage) -> float:
    return float(stage.spec["trainer"]["steps"] * stage.spec["trainer"]["batch"])


def contenders(options: Options, screen: Screen) -> list[Contender]:
    """All pairs of a source and a strategy that the words name, scratch first. Raises ConfigError if the pairs would
    train on different rows."""
    shared = [word for word in options.words if parse(word).top in KNOWN]
    own = [word for word in options.words if word not in shared]
    sources = candidates(replace(options, words=tuple(shared)), screen)
    named = any(parse(word).key == "strategy" for word in own)
    if not named:
        own = [f"strategy={','.join(STRATEGIES)}", *own]
    runs = expand(own, multirun=True, seeds=None, search=search_path(own, options.config_dirs))
    trained = [each for each in sources if not each.untaught]
    pairs: dict[tuple[str, ...], Contender] = {}
    for source, words in [*((each, ()) for each in _untaught(sources, options)), *product(trained, runs)]:
        contender = _contender(source, words, options, optional=bool(words) and not named)
        if contender is not None:
            pairs[contender.words] = contender
    _check_same_rows(list(pairs.values()))
    return list(pairs.values())


def _contender(source: Candidate, words: Sequence[str], options: Options, *, optional: bool) -> Contender | None:
    """One pair; without words it is scratch. None for scratch from a trained net, and for an optional pair that cannot
    be planned."""
    strategy = next((parse(word).value for word in words if parse(word).key == "strategy"), "scratch")
    if strategy == "scratch" and words:
        return None
    pair_words = (*source.to_run(strategy), *(word for word in words if parse(word).key != "strategy"))
    try:
        plan = plan_one(load(pair_words, config_dirs=options.config_dirs), options)
    except TransferError:
        if optional:
            return None
        raise
    return Contender(source, pair_words, plan, not words)


def _untaught(sources: Sequence[Candidate], options: Options) -> list[Candidate]:
    """The untrained candidates, from which scratch starts; if there are none, the model of the first source."""
    if own := [each for each in sources if each.untaught]:
        return own
    words = tuple(word for word in sources[0].words if parse(word).top not in ("source", "weights", "pretrain"))
    config = load([*words, "source=none", "strategy=scratch"], config_dirs=options.config_dirs)
    plan = plan_one(config, options)
    return [Candidate(words, plan, f"{plan.config.choices['model']} none", True, False)]


def _check_same_rows(pairs: Sequence[Contender]) -> None:
    rows = {str(each.plan.target.key("train", labelled=True, seed=each.plan.values["seed"])) for each in pairs}
    if len(rows) > 1:
        raise ConfigError(Fault("advise", "the pairs would learn from different rows", do="leave source=base out"))
