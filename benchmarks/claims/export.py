"""A conv net and a small transformer, trained for seconds and exported in every format: does the file say what the run
said on 1,000 test rows, how large is it, how fast on one row? Writes results/export.md and .json.

TRANSFER_DATA=/path/to/data python benchmarks/claims/export.py                              (minutes on two cores)"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
TRANSFER = (sys.executable, "-m", "transfer_cli")
RUNS = {
    "lenet, MNIST": ("data=mnist", "model=lenet", "model.precision=fp32", "trainer.steps=150", "trainer.batch=64"),
    "lenet in bf16, MNIST": ("data=mnist", "model=lenet", "model.precision=bf16", "trainer.steps=150",
                             "trainer.batch=64"),
    "BERT of 2 layers, SST-2": ("data=sst2", "model=bert_tiny", "trainer.steps=100", "trainer.optimizer=adamw",
                                "trainer.lr=0.001"),
}  # fmt: skip
FORMATS = (("safetensors",), ("torch_export",), ("onnx",), ("onnx", "--quantize", "int8"))


def transfer(*words: str) -> str:
    """What the command prints."""
    done = subprocess.run([*TRANSFER, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"transfer {' '.join(words)} [{done.returncode}]\n{done.stderr}")
    return done.stdout


def measured(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for net, words in RUNS.items():
        run = transfer("run", "-q", "strategy=scratch", *words, "--runs", str(folder)).strip()[-6:]
        for to in FORMATS:
            name = " ".join(to).replace(" --quantize", "")
            place = ("-o", str(folder / "net"), "--runs", str(folder))
            note = json.loads(transfer("export", run, "--to", *to, *place, "--json"))
            rows.append({"net": net, "format": name, "bytes": note["bytes"], **note["check"]})
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| net | format | file | equal classes | scores differ by at most | allowed | one row | the run's own net |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        allowed = "95 % equal" if row["allowed"] is None else f"{row['allowed']:.1g}"
        times = [f"{1000 * row[name]:.2g} ms" for name in ("latency_s", "latency_run_s")]
        lines.append(
            f"| {row['net']} | {row['format']} | {row['bytes'] / 1e6:.2f} MB | {row['equal']:,} of {row['rows']:,} "
            f"| {row['max_difference']:.1e} | {allowed} | {' | '.join(times)} |"
        )
    threads = f"{rows[0]['threads']} thread{'s' * (rows[0]['threads'] != 1)}"
    return "\n".join([*lines, "", f"One row: medians of 50 calls on the CPU, {threads}, both in turns."]) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder))
    (RESULTS / "export.json").write_text(json.dumps(rows, indent=1) + "\n")
    (RESULTS / "export.md").write_text(markdown(rows))
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
