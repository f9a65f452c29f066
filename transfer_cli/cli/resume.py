"""transfer resume RUN: continues a run or sweep where it stopped, with the words it was started with. Words in place of
a RUN are a query."""

import shlex
from dataclasses import replace

from transfer_cli.analysis.sweeps import Sweep, of_record
from transfer_cli.config.compose import load
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.runs import started
from transfer_cli.runner.compute import compute
from transfer_cli.runner.options import Options
from transfer_cli.runner.plan_preview import plans_to_run
from transfer_cli.runner.run_selection import one
from transfer_cli.safe import safe


def main(options: Options) -> int:
    """Continues one unfinished run or sweep; does nothing for a finished one. Raises ConfigError if it cannot be
    resumed, or if the query matches several."""
    record = started(options.runs, _reference(options))
    screen, stopped = Screen.of(options), of_record(record)
    name = f"run {safe(stopped.id)}"
    rows = [row.words for row in stopped.rows] if isinstance(stopped, Sweep) else [stopped.words]
    if stopped.is_unreadable or not rows or not all(rows):
        why = stopped.fault or "it recorded no words"
        raise ConfigError(Fault(name, f"cannot be resumed: {why}", do="transfer run WORDS"))
    _check_plugins(options, stopped.id, {word for words in rows for word in words})
    if stopped.status == "done":
        screen.note(f"{stopped.id} is finished: nothing to do")
        return 0
    if any("***" in word for words in rows for word in words):
        raise ConfigError(Fault(name, "a secret was left out of its words; give them again"))
    if record.get("search"):
        from transfer_cli.runner import search

        return search.search(search.resumed(options, record), screen)
    if record.get("advise"):
        from transfer_cli.runner import advise

        return advise.advise(advise.resumed(options, record), screen)
    configs = [load(words, config_dirs=options.config_dirs) for words in rows]
    plans = plans_to_run(configs, options, screen)
    return compute(plans, replace(options, multirun=isinstance(stopped, Sweep)), screen) if plans else 0


def _reference(options: Options) -> str:
    """The RUN of the command line, or the run that its query matches. Raises ConfigError if both are given."""
    query = [word for word in options.words if not word.startswith("plugins=")]
    if query and options.args:
        raise ConfigError(Fault(query[0], "resume takes a RUN; its own words decide", do="transfer run WORDS"))
    return one(options.runs, query) if query else (options.args or ("last",))[0]


def _check_plugins(options: Options, name: str, words: set[str]) -> None:
    """Raises ConfigError for a plugin package that only the record of the run names. Packages are loaded only if the
    user names them, too."""
    for word in sorted(word for word in words - set(options.words) if word.startswith("plugins=")):
        do = f"name it, too: transfer resume {safe(name)} {shlex.quote(safe(word))}"
        raise ConfigError(Fault(safe(word), "is named by the record of the run", do=do))
