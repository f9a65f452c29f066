"""Exports the net of a finished run as one file. The file is written only if its predictions match those of the run."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from transfer_cli.data.tokenizers import text_of
from transfer_cli.errors import Differs, Fault
from transfer_cli.export.check import ROWS, agreement, agrees, allowed, latency
from transfer_cli.export.program import Program, program_of
from transfer_cli.store.disk import put

Json = dict[str, Any]


def format_of(name: str) -> Any:
    """Returns the module of a format in this folder: `SUFFIX`, `check`, `save` to bytes, `load` from bytes."""
    return import_module(f"transfer_cli.export.{name}")


def export(predicting: Any, to: str, path: Path, quantize: str = "") -> Json:
    """Writes the program to `path` and its description to `path`.json; returns the content of that JSON. Raises
    Differs, without writing anything, if the program's predictions differ from the run's; ConfigError for a run without
    a head."""
    file_format = format_of(to)
    program = program_of(predicting)
    expected = list(predicting.stored_scores(ROWS))
    data = file_format.save(program, quantize)
    facts = _measured(file_format.load(data), program, expected, predicting.precision, quantize)
    if not facts["agrees"]:
        raise Differs(Fault(str(path), _difference(facts), do="nothing was written"))
    put(path, data)
    description = {
        "schema": "export/1",
        "format": to,
        "quantize": quantize or None,
        "bytes": len(data),
        "inputs": program.shapes(),
        "output": {"scores": ["B", len(predicting.classes)]},
        "classes": predicting.classes,
        "preprocessing": _preprocessing(predicting, path),
        "check": facts,
        "torch": torch.__version__,
    }
    put(path.with_name(f"{path.name}.json"), (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode())
    return description


def _preprocessing(predicting: Any, path: Path) -> Json:
    """Returns the preprocessing; for texts, the tokenizer's file is written next to the program."""
    input = predicting.spec["model"]["input"]
    if "digest" not in input:
        return dict(predicting.kind.preprocessing(input))
    tokenizer = path.with_name(f"{path.name}.tokenizer.json")
    put(tokenizer, text_of(input["digest"], predicting.context.cache))
    return dict(predicting.kind.preprocessing(input, tokenizer.name))


def _measured(scores: Any, program: Program, expected: Any, precision: str, quantize: str) -> Json:
    result = agreement(scores, expected)
    inputs, _ = expected[0]
    row = dict(zip(program.names, (x[:1] for x in program.of(inputs))))

    @torch.no_grad()
    def eager() -> object:
        return program(*row.values())

    program_s, run_s = latency(lambda: scores(row), eager)
    return {
        "rows": result.rows,
        "equal": result.equal,
        "max_difference": result.difference,
        "allowed": None if quantize else allowed(precision, result.largest),
        "agrees": agrees(result, precision, quantize),
        "latency_s": program_s,
        "latency_run_s": run_s,
        "threads": torch.get_num_threads(),
    }


def _difference(facts: Json) -> str:
    same = f"{facts['equal']:,} of {facts['rows']:,} answers are the run's"
    if facts["allowed"] is None:
        return f"only {same}"
    return f"scores differ by up to {facts['max_difference']:.2g}, allowed {facts['allowed']:.2g}; {same}"
