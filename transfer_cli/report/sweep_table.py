"""How a sweep stands, as lines that fit a window: a line a group of runs that differ in the seed alone, one each for
running and failed runs. Where there is no room, what runs and what failed is kept; the rest is counted."""

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
    """Of each row the words that not every row has; all words of a lone one."""
    shared = set(rows[0]["words"]).intersection(*(row["words"] for row in rows)) if len(rows) > 1 else set()
    return [[word for word in row["words"] if word not in shared] for row in rows]


def standing(name: str, rows: Sequence[Row], left_s: float | None, look: Look, height: int) -> list[str]:
    """At most `height` lines. A row is one of sweep.json, with what its run tells now: `at`, `loss`."""
    top, entries = prose(_head(name, rows, left_s), look), _entries(rows)
    by_rank = sorted(range(len(entries)), key=lambda at: RANK[entries[at]["rank"]])
    columns = _columns(rows, entries)
    for count in range(min(len(entries), height), 0, -1):
        kept = set(by_rank[:count])
        table = lines(Table(columns, [entry for at, entry in enumerate(entries) if at in kept]), look)
        frame = top + table + _rest([entry for at, entry in enumerate(entries) if at not in kept], look)
        if len(frame) <= height:
            return frame
    return (top + _rest(entries, look))[:height]


def failures(rows: Sequence[Row], logs: Mapping[str, str]) -> Table:
    """The runs that are not done: their words, how they ended, where the log is (`logs`: by path), and why."""
    columns = [Column("run"), Column("words"), Column("state", state=True), Column("log"), Column("why", wraps=True)]
    found = [
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
    return Table(columns, found)


def _head(name: str, rows: Sequence[Row], left_s: float | None) -> str:
    """`sweep swp4hd: 30 runs, 23 done, 1 failed, 1 running, 5 to do, ~11m 20s left`."""
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", *BAD, *LEFT)}
    parts = [f"{len(rows)} runs", *(f"{count} {state}" for state, count in counts.items() if count)]
    if left_s is not None and any(counts[state] for state in LEFT):
        parts.append(f"~{numbers.duration(left_s)} left")
    return f"sweep {name}: {', '.join(parts)}"


def _entries(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Lines of the table: those done and those to do of a group in one each, others a line each."""
    groups: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for row, own in zip(rows, own_words(rows)):
        seed = next((word.removeprefix("seed=") for word in own if word.startswith("seed=")), "")
        groups.setdefault(tuple(word for word in own if not word.startswith("seed=")), []).append((seed, row))
    found = []
    for words, group in groups.items():
        for state in RANK:
            few = [(seed, row) for seed, row in group if row["state"] == state]
            head = {**dict(word.split("=", 1) for word in words), "rank": state, "state": state}
            if few and state in ("done", "to do"):
                scores = _score([row for _, row in few]) if state == "done" else None
                text = f"{len(few)} run{'s' * (len(few) > 1)}"
                found.append({**head, "seed": _seeds([seed for seed, _ in few]), "at": text, "score": scores})
            else:
                found += [{**head, "seed": seed, "at": _at(row)} for seed, row in few]
    return found


def _at(row: Row) -> str:
    """`align 71 %, 0.66 ▆▅▄▃▂ 0.21`, or what went wrong: `align: non-finite loss at step 212 [7]`."""
    if row["state"] in BAD:
        return f"{row.get('fault') or row['id']} [{row['code']}]"
    return ", ".join(str(row[name]) for name in ("at", "loss") if row.get(name))


def _seeds(seeds: Sequence[str]) -> str:
    """`0..4`, `0, 2`."""
    known = sorted(int(seed) for seed in seeds if seed.isdigit())
    if len(known) > 1 and known == list(range(known[0], known[-1] + 1)):
        return f"{known[0]}..{known[-1]}"
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
