"""The state of a sweep as lines that fit a window: one line for each group of runs that differ only in the seed, and
one for each running or failed run. If the window is too small, lines of running and failed runs are shown first, and
the rest is only counted."""

from collections.abc import Mapping, Sequence
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.metric import Metric
from transfer_cli.analysis.statistics import Interval, inside, t_interval
from transfer_cli.analysis.sweeps import score_of
from transfer_cli.report.labels import unit_of
from transfer_cli.report.tables import Column, Look, Table, lines, prose

Row = Mapping[str, Any]
BAD, LEFT = ("failed", "died", "interrupted"), ("running", "waiting", "to do")
RANK = {state: rank for rank, state in enumerate(("running", *BAD, "waiting", "done", "to do"))}


def own_words(rows: Sequence[Row]) -> list[list[str]]:
    """For each row, the words that not all rows have; all words of the row if it is the only one."""
    shared = set(rows[0]["words"]).intersection(*(row["words"] for row in rows)) if len(rows) > 1 else set()
    return [[word for word in row["words"] if word not in shared] for row in rows]


def sweep_lines(name: str, rows: Sequence[Row], left_s: float | None, look: Look, height: int) -> list[str]:
    """At most `height` lines on the state of a sweep. `rows`: rows of sweep.json, each with the progress of its run,
    `at` and `loss`; `left_s`: the estimated remaining seconds."""
    top, entries = prose(_head(name, rows, left_s), look), _entries(rows)
    by_rank = sorted(range(len(entries)), key=lambda at: RANK[entries[at]["rank"]])
    columns = _columns(rows, entries)
    for count in range(min(len(entries), height), 0, -1):
        shown = set(by_rank[:count])
        table = lines(Table(columns, [entry for at, entry in enumerate(entries) if at in shown]), look)
        frame = top + table + _rest([entry for at, entry in enumerate(entries) if at not in shown], look)
        if len(frame) <= height:
            return frame
    return (top + _rest(entries, look))[:height]


def failures(rows: Sequence[Row], logs: Mapping[str, str]) -> Table:
    """The runs that are not done: their words, how they ended, their log (`logs`, by path), and the reason."""
    columns = [Column("run"), Column("words"), Column("state", state=True), Column("log"), Column("why", wraps=True)]
    not_done = [
        {
            "run": row.get("id"),
            "words": " ".join(own),
            "state": row["state"] if row["code"] is None else f"{row['state']} [{row['code']}]",
            "log": logs.get(row["path"]),
            "why": row.get("fault"),
        }
        for row, own in zip(rows, own_words(rows))
        if row["state"] != "done"
    ]
    return Table(columns, not_done)


def _head(name: str, rows: Sequence[Row], left_s: float | None) -> str:
    """`sweep swp4hd: 30 runs, 23 done, 1 failed, 1 running, 5 to do, ~11m 20s left`."""
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", *BAD, *LEFT)}
    parts = [f"{len(rows)} runs", *(f"{count} {state}" for state, count in counts.items() if count)]
    if left_s is not None and any(counts[state] for state in LEFT):
        parts.append(f"~{numbers.duration(left_s)} left")
    return f"sweep {name}: {', '.join(parts)}"


def _entries(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Entries of the table: one for all runs of a group that are done, one for all that are to do, and one for each
    other run."""
    groups: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for row, own in zip(rows, own_words(rows)):
        seed = next((word.removeprefix("seed=") for word in own if word.startswith("seed=")), "")
        groups.setdefault(tuple(word for word in own if not word.startswith("seed=")), []).append((seed, row))
    entries = []
    for words, group in groups.items():
        for state in RANK:
            few = [(seed, row) for seed, row in group if row["state"] == state]
            head = {**dict(word.split("=", 1) for word in words), "rank": state, "state": state}
            if few and state in ("done", "to do"):
                scores = _score([row for _, row in few]) if state == "done" else None
                text = f"{len(few)} run{'s' * (len(few) > 1)}"
                entries.append({**head, "seed": _seeds([seed for seed, _ in few]), "at": text, "score": scores})
            else:
                entries += [{**head, "seed": seed, "at": _at(row)} for seed, row in few]
    return entries


def _at(row: Row) -> str:
    """The progress `align 71 %, 0.66 ▆▅▄▃▂ 0.21`, or the fault `align: non-finite loss at step 212 [7]`."""
    if row["state"] in BAD:
        return f"{row.get('fault') or row['id']} [{row['code']}]"
    return ", ".join(str(row[name]) for name in ("at", "loss") if row.get(name))


def _seeds(seeds: Sequence[str]) -> str:
    """Seeds as text: `0..4`, `0, 2`."""
    numbers_of_seeds = sorted(int(seed) for seed in seeds if seed.isdigit())
    if len(numbers_of_seeds) > 1 and numbers_of_seeds == list(range(numbers_of_seeds[0], numbers_of_seeds[-1] + 1)):
        return f"{numbers_of_seeds[0]}..{numbers_of_seeds[-1]}"
    return ", ".join(seeds)


def _score(rows: Sequence[Row]) -> Interval | None:
    scores = _scores(rows)
    if not scores:
        return None
    if len(scores) == 1:
        return scores[0].interval
    interval = t_interval([score.value for score in scores])
    return inside(interval) if scores[0].measure.is_share else interval


def _scores(rows: Sequence[Row]) -> list[Metric]:
    return [score for row in rows if (score := score_of(row)) is not None]


def _columns(rows: Sequence[Row], entries: Sequence[Row]) -> list[Column]:
    keys = dict.fromkeys(
        key for entry in entries for key in entry if key not in ("rank", "state", "seed", "at", "score")
    )
    scores = _scores(rows)
    seeds = any(entry["seed"] for entry in entries)
    columns = [Column("score", unit_of(scores[0].measure), scores[0].measure.heading, interval=True)] if scores else []
    return [
        *map(Column, keys),
        *([Column("seed")] if seeds else []),
        Column("state", state=True),
        *columns,
        Column("at", wraps=True),
    ]


def _rest(entries: Sequence[Row], look: Look) -> list[str]:
    """`not shown: 3 lines done, 1 to do`."""
    counts = {state: sum(entry["rank"] == state for entry in entries) for state in RANK}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    return prose(f"not shown: {', '.join(parts)}", look) if parts else []
