"""Loads the net of a finished run, for predict, explain, export and serve. This file finds the run, its configuration
and its stages; the engine computes what the net answers."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.runner.options import Options
from transfer_cli.runner.run_selection import chosen
from transfer_cli.runner.single_run import quiet_threads
from transfer_cli.safe import safe
from transfer_cli.store.store import Damaged, Store

if TYPE_CHECKING:
    from transfer_cli.engine.predict import Predicting

PLUGINS = "plugins="
Results = dict[str, Any]


def finished_run(options: Options, refs: Sequence[str], query: Sequence[str] = ()) -> Results:
    """results.json of the one finished run that the references and the query select; without either, of the last run.
    The word `plugins=` is not part of the query. Raises ConfigError for several runs and for an unfinished one."""
    words = tuple(word for word in query if not word.startswith(PLUGINS))
    runs = chosen(replace(options, args=tuple(refs), words=words))
    if len(runs) != 1:
        ids = ", ".join(run.id for run in runs[-5:])
        text = f"means {len(runs)} runs: {ids}; {options.command} takes one"
        raise ConfigError(Fault(" ".join([*refs, *words]), text))
    run = runs[0]
    if not run.is_done:
        name = safe(run.id)
        why = f"cannot be read: {run.fault}" if run.is_unreadable else f"is not finished: {run.status}"
        raise ConfigError(Fault(f"run {name}", why, do=f"transfer resume {name}"))
    if not run.stages:
        raise ConfigError(Fault(f"run {safe(run.id)}", "evaluated nothing, so its classes are not known"))
    return dict(run.document)


def load_net(run: Results, options: Options, verb: str = "") -> "Predicting":
    """The net of a run, with the task and the settings of its evaluation. Raises ConfigError if the run has no
    evaluation or if its task does not support `verb` (predict, explain, export, serve), StoreError if its stages are
    damaged or gone."""
    quiet_threads()
    from transfer_cli.config.compose import load_stored
    from transfer_cli.data.open import describe_pair
    from transfer_cli.engine.predict import Predicting

    name, last = f"run {safe(run['id'])}", run["stages"][-1]
    if last["name"] != "evaluate":
        raise ConfigError(Fault(name, "evaluated nothing, so its classes are not known"))
    plugins, cache = named_plugins(options.words), options.runs / ".cache"
    values = load_stored(run["config"], plugins)
    store = Store(options.runs / ".store", create=False)
    target, seed = lambda: describe_pair(values, cache)[0], int(values["seed"])
    try:
        net = Predicting(store, last["key"], cache, target, plugins=plugins, seed=seed)
    except Damaged as error:
        if store.state(error.key) != "absent":
            raise
        do = f"transfer run {shlex.join(run['words'])}   computes it again"
        raise StoreError(Fault(name, "its net is gone from the store", do=do)) from None
    if verb and verb not in net.task.verbs:
        can = ", ".join(net.task.verbs) or "only be evaluated"
        text = f"its net learned the task {net.task_name}, which has no {verb}; it can {can}"
        do = f"transfer run weights={safe(run['id'])} data=DATA makes a net for another task of it"
        raise ConfigError(Fault(name, text, do=do))
    return net


def named_plugins(words: Sequence[str]) -> tuple[str, ...]:
    """Plugin packages that this command line names. Those of the stored configuration are not trusted."""
    named = [word.removeprefix(PLUGINS).strip("[]") for word in words if word.startswith(PLUGINS)]
    return tuple(name for text in named for name in text.split(",") if name)
