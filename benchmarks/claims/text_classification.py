"""Eight labels a class, ten draws: a small BERT and a bag of words that learned from another domain, and a sentence
encoder with ready weights where `minilm/` lies in the working folder, against a bag of words without a source.
Writes results/text_classification.md and .json from `transfer compare --json`. Nothing was tuned on the targets: one
set of settings for all five.

TRANSFER_DATA=/path/to/data python benchmarks/claims/text_classification.py [--tables]      (an hour on two cores)
--tables makes the tables from the runs that are there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
TRANSFER = Path(sys.executable).with_name("transfer")
AMAZON = "amazon_reviews"
TARGETS = {  # words of the target, words of the source
    "kitchen": ((f"data={AMAZON}", "data.domain=kitchen"), (f"source={AMAZON}", "source.domain=books")),
    "dvd": ((f"data={AMAZON}", "data.domain=dvd"), (f"source={AMAZON}", "source.domain=books")),
    "electronics": ((f"data={AMAZON}", "data.domain=electronics"), (f"source={AMAZON}", "source.domain=books")),
    "books": ((f"data={AMAZON}", "data.domain=books"), (f"source={AMAZON}", "source.domain=dvd")),
    "sst2": (("data=sst2",), (f"source={AMAZON}", "source.domain=dvd")),
}
DRAWS = ("data.shots=8", "evaluate.way=null", "runtime.threads=1", "--seeds", "10")
TRAINING = (
    "trainer.optimizer=adamw", "trainer.weight_decay=0.01", "trainer.steps=60", "trainer.batch=16",
    "pretrain.trainer.steps=600", "pretrain.trainer.batch=32",
)  # fmt: skip
BERT = ("strategy=linear_probe,fine_tune,lora,few_shot", "model=bert_tiny", "trainer.lr=0.001", *TRAINING)
BAG = ("strategy=scratch,linear_probe,fine_tune,few_shot", "model=embedding_bag", "trainer.lr=0.01", *TRAINING)
MINILM = ("strategy=few_shot,linear_probe", "weights=./minilm", "model.input.length=128")
BASELINE = "strategy=scratch model=embedding_bag"
ROWS = ("fine_tune", "lora", "linear_probe", "few_shot", "scratch")


def transfer(*words: str) -> str:
    """What the command prints."""
    done = subprocess.run([TRANSFER, *words], capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode:
        sys.exit(f"transfer {' '.join(words)} [{done.returncode}]\n{done.stderr}")
    return done.stdout


def run() -> None:
    for target, source in TARGETS.values():
        transfer("run", *BERT, *target, *source, *DRAWS)
        transfer("run", *BAG, *target, *source, *DRAWS)
        if Path("minilm").is_dir():
            transfer("run", *MINILM, *target, *DRAWS)


def table() -> dict[str, list[dict[str, Any]]]:
    """Rows of `compare` by target."""
    found = {}
    for name, (target, _) in TARGETS.items():
        words = ("data.shots=8", *target, "--baseline", BASELINE, "--json")
        found[name] = json.loads(transfer("compare", *words))["rows"]
    return found


def cell(row: dict[str, Any] | None) -> str:
    """`65.8 ±1.8`; bold where it beats the baseline, with the sign of what is worse."""
    if row is None:
        return "–"
    text = f"{100 * row['mean']:.1f} ±{50 * (row['hi'] - row['lo']):.1f}" + (
        f" (n {row['n']})" if row["n"] != 10 else ""
    )
    return f"**{text}**" if row.get("verdict") == "better" else f"{text} −" if "worse" in str(row["verdict"]) else text


def markdown(found: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["| source model, strategy | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for model, title in (("bert_tiny", "small BERT, other domain"), ("embedding_bag", "bag of words"), ("", "MiniLM")):
        for strategy in ROWS:
            cells = [cell(pick(rows, model, strategy)) for rows in found.values()]
            if set(cells) != {"–"}:
                label = "bag of words, no source (the baseline)" if strategy == "scratch" else f"{title}, {strategy}"
                lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def pick(rows: list[dict[str, Any]], model: str, strategy: str) -> dict[str, Any] | None:
    """The row of a model ("": the one with ready weights) and a strategy, that with most draws."""
    named = {"bert_tiny", "embedding_bag"}
    fits = [row for row in rows if row["strategy"] == strategy and row["mean"] is not None]
    fits = [row for row in fits if row["model"] == model or (not model and row["model"] not in named)]
    return max(fits, key=lambda row: row["n"], default=None)


def main() -> None:
    if "--tables" not in sys.argv:
        run()
    found = table()
    RESULTS.mkdir(exist_ok=True)
    kept = (
        "strategy",
        "model",
        "n",
        "mean",
        "lo",
        "hi",
        "delta",
        "delta_lo",
        "delta_hi",
        "p_holm",
        "verdict",
        "cost_s",
        "seeds",
    )
    slim = {name: [{key: row.get(key) for key in kept} for row in rows] for name, rows in found.items()}
    (RESULTS / "text_classification.json").write_text(json.dumps(slim, indent=1) + "\n")
    (RESULTS / "text_classification.md").write_text(markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    main()
