"""transfer rank DATA: which source suits a target, before any training. Every candidate's features of the target's
training rows are scored, beside what shuffled labels score; test rows are not read."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.ranking import Reached, Start, reached
from transfer_cli.analysis.results import listing
from transfer_cli.cli.options import Options
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError, nearest
from transfer_cli.plan.plan import Plan
from transfer_cli.report.live.run_display import Talk
from transfer_cli.report.rank_table import NONE, OF_CLASSES, SCORES, Entry, tables
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import arranged
from transfer_cli.runner.candidates import Candidate, candidates, probe_of
from transfer_cli.runner.processes import job_of, join
from transfer_cli.runner.single_run import quiet_threads, stop_of
from transfer_cli.store.store import Store


def main(options: Options) -> int:
    """Example: transfer rank data=usps data.shots=20 source=none,mnist"""
    screen, by = Screen.of(options), options.metric or next(iter(SCORES))
    if by not in SCORES:
        raise ConfigError(Fault("--metric", "no such score", by, tuple(SCORES), nearest(by, list(SCORES))))
    found = candidates(options, screen)
    target = found[0].plan.target
    if target.raw.task != "classify":
        raise ConfigError(Fault("data", "has no classes, so there is nothing to score", target.title))
    here, missing = [each for each in found if each.here], [each for each in found if not each.here]
    if not here:
        raise StoreError(Fault("rank", f"{_missing(missing)}: nothing to rank", do=_training(missing[0])))
    entries, told = ranked(here, options, screen)
    results = _reached(here, options)
    dash = screen.format in ("table", "md", "latex")
    notes = [*told, *_notes(entries, here, missing)]
    first, *below = tables(entries, results, by, dash=dash, title=_title(here[0].plan), notes=notes)
    best = next(each for each in here if each.name == first.rows[0]["source_model"])
    following = _training(missing[0]) if missing else _command(best, "linear_probe,fine_tune", "--seeds", "3")
    first = arranged(first, options.sort, options.limit, options.columns)
    screen.show(replace(first, next=following) if screen.json else first, *below)
    if not screen.json:
        screen.command(following)
    return 0


def ranked(found: Sequence[Candidate], options: Options, screen: Screen) -> tuple[list[Entry], list[str]]:
    """Each candidate's scores, and how many rows they are of. Features are kept for the next time, and for the linear
    probe of a run. Raises DataError for fewer than two classes."""
    quiet_threads()
    from transfer_cli.engine import ranking
    from transfer_cli.engine.stage_context import StageContext

    made = found[0].plan
    if len(made.target.classes) < 2:
        raise DataError(Fault("data", "has one class, and a score wants two", made.target.title))
    stop, store = stop_of(made), Store(options.runs / ".store", create=False)
    context = StageContext(
        store, join(made).device, options.runs / ".cache", Talk(), stop, lambda: None, say=screen.note
    )
    entries, rows = [], (0, 0)
    for each in found:
        stop()
        screen.note(f"scores {each.name}" if screen.verbose else "")
        job = job_of(each.plan, each.probe)
        scored = ranking.ranked(context, job, ranking.net_of(context, job, each.net), every=options.all)
        entries.append(Entry(each.name, shlex.join(each.words), scored.scores, scored.distances, scored.features_s))
        rows = (scored.rows, scored.of)
    count = f"{rows[0]:,}" if rows[0] == rows[1] else f"{rows[0]:,} of {rows[1]:,}"
    more = "" if rows[0] == rows[1] else "; --all takes every one"
    return entries, [f"train part only, {count} {made.target.raw.kind}{more}. A score ranks; it is no accuracy"]


def _reached(found: Sequence[Candidate], options: Options) -> list[Reached]:
    """What runs in the runs folder reached from the candidates, on the target's test rows. Reads their results only."""
    made = found[0].plan
    test = made.target.key("test", labelled=True, seed=found[0].probe.seed)
    starts = {
        each.name: Start(each.net.get("key", ""), each.net.get("rule", ""), each.plan.values["model"]) for each in found
    }
    return reached(listing(options.runs), starts, run_labels.rows_named(test), made.values["data"])


def _title(made: Plan) -> str:
    rows = len(made.target.rows("train", seed=probe_of(made).seed).index)
    return f"{made.target.title}: {rows:,} labelled {made.target.raw.kind}, {len(made.target.classes)} classes"


def _notes(entries: Sequence[Entry], found: Sequence[Candidate], missing: Sequence[Candidate]) -> list[str]:
    told = ["± 95 %, by leaving out rows; shuffled: where 95 % of the scores of shuffled labels fall"]
    if blank := [entry.name for entry in entries if not set(OF_CLASSES) & entry.scores.keys()]:
        told.append(f"{NONE}: LEEP and NCE want a linear head of the source's classes; without one: {', '.join(blank)}")
    if seen := [each.name for each in found if each.seen]:
        told.append(f"learned from these very data, so its scores flatter: {', '.join(seen)}")
    return told + ([_missing(missing)] if missing else [])


def _missing(found: Sequence[Candidate]) -> str:
    return f"not learned yet, and rank trains nothing: {', '.join(each.name for each in found)}"


def _training(each: Candidate) -> str:
    return _command(each, "linear_probe")


def _command(each: Candidate, strategy: str, *options: str) -> str:
    return shlex.join(["transfer", "run", *each.to_run(strategy), *options])
