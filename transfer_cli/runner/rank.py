"""transfer rank DATA: scores how well each source suits a target, before any training. Scores are computed from each
candidate's features of the target's training rows, and compared with the scores of shuffled labels. Test rows are not
read."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.ranking import Reached, Start, reached
from transfer_cli.analysis.results import listing
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError
from transfer_cli.plan.plan import Plan
from transfer_cli.report.live.run_display import Talk
from transfer_cli.report.rank_table import NONE, OF_CLASSES, Entry, tables
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Table
from transfer_cli.runner.candidates import Candidate, candidates, probe_of
from transfer_cli.runner.options import Options
from transfer_cli.runner.processes import job_of, join
from transfer_cli.runner.single_run import quiet_threads, stop_of
from transfer_cli.store.store import Store


@dataclass(frozen=True)
class Ranking:
    """The tables, of which the first ranks the candidates, and the suggested next command."""

    tables: Sequence[Table]
    next: str


def rank(options: Options, screen: Screen, by: str) -> Ranking:
    """Scores all candidates and sorts them by the score `by`. Raises ConfigError for data without classes, StoreError
    if no candidate has been trained yet."""
    all_candidates = candidates(options, screen)
    target = all_candidates[0].plan.target
    if not target.raw.has_classes:
        raise ConfigError(Fault("data", "has no classes, so there is nothing to score", target.title))
    here, missing = [each for each in all_candidates if each.here], [each for each in all_candidates if not each.here]
    if not here:
        raise StoreError(Fault("rank", f"{_missing(missing)}: nothing to rank", do=_training(missing[0])))
    entries, remarks = score_candidates(here, options, screen)
    dash = screen.format in ("table", "md", "latex")
    notes = [*remarks, *_notes(entries, here, missing)]
    shown = tables(entries, _reached(here, options), by, dash=dash, title=_title(here[0].plan), notes=notes)
    best = next(each for each in here if each.name == shown[0].rows[0]["source_model"])
    following = _training(missing[0]) if missing else _command(best, "linear_probe,fine_tune", "--seeds", "3")
    return Ranking(shown, following)


def score_candidates(to_score: Sequence[Candidate], options: Options, screen: Screen) -> tuple[list[Entry], list[str]]:
    """The scores of each candidate, and a remark on the number of rows. Features are stored, for later rankings and for
    the linear probe of a run. Raises DataError for fewer than two classes."""
    quiet_threads()
    from transfer_cli.engine import ranking
    from transfer_cli.engine.stage_context import StageContext

    plan = to_score[0].plan
    if len(plan.target.classes) < 2:
        raise DataError(Fault("data", "has one class, and a score needs two", plan.target.title))
    stop, store = stop_of(plan), Store(options.runs / ".store", create=False)
    context = StageContext(
        store, join(plan).device, options.runs / ".cache", Talk(), stop, lambda: None, say=screen.note
    )
    entries, rows = [], (0, 0)
    for each in to_score:
        stop()
        screen.note(f"scores {each.name}" if screen.verbose else "")
        job = job_of(each.plan, each.probe)
        scored = ranking.ranked(context, job, ranking.net_of(context, job, each.net), every=options.all)
        entries.append(Entry(each.name, shlex.join(each.words), scored.scores, scored.distances, scored.features_s))
        rows = (scored.rows, scored.of)
    count = f"{rows[0]:,}" if rows[0] == rows[1] else f"{rows[0]:,} of {rows[1]:,}"
    more = "" if rows[0] == rows[1] else "; --all takes every one"
    return entries, [f"train part only, {count} {plan.target.raw.kind}{more}. A score ranks; it is no accuracy"]


def _reached(scored: Sequence[Candidate], options: Options) -> list[Reached]:
    """Results on the target's test rows of the runs in the runs folder that started from the candidates. Reads only
    results.json files."""
    plan = scored[0].plan
    test = run_labels.rows_named(plan.target.key("test", labelled=True, seed=scored[0].probe.seed))
    starts = {
        each.name: Start(each.net.get("key", ""), each.net.get("rule", ""), each.plan.values["model"])
        for each in scored
    }
    return reached(listing(options.runs), starts, test, plan.values["data"])


def _title(plan: Plan) -> str:
    rows = len(plan.target.rows("train", seed=probe_of(plan).seed).index)
    return f"{plan.target.title}: {rows:,} labelled {plan.target.raw.kind}, {len(plan.target.classes)} classes"


def _notes(entries: Sequence[Entry], scored: Sequence[Candidate], missing: Sequence[Candidate]) -> list[str]:
    notes = ["± 95 %, by leaving out rows; shuffled: where 95 % of the scores of shuffled labels fall"]
    if blank := [entry.name for entry in entries if not set(OF_CLASSES) & entry.scores.keys()]:
        notes.append(
            f"{NONE}: LEEP and NCE want a linear head of the source's classes; without one: {', '.join(blank)}"
        )
    if same_data := [each.name for each in scored if each.trained_on_target]:
        notes.append(f"learned from these data, so its scores flatter: {', '.join(same_data)}")
    return notes + ([_missing(missing)] if missing else [])


def _missing(missing: Sequence[Candidate]) -> str:
    return f"not learned yet, and rank trains nothing: {', '.join(each.name for each in missing)}"


def _training(each: Candidate) -> str:
    return _command(each, "linear_probe")


def _command(each: Candidate, strategy: str, *options: str) -> str:
    return shlex.join(["transfer", "run", *each.to_run(strategy), *options])
