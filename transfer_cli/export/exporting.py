"""A finished run's net as one file, compared with the run's own predictions before the file has its name."""

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
    """The file of this folder that knows a format: `SUFFIX`, `check`, `save` to bytes, `load` from them."""
    return import_module(f"transfer_cli.export.{name}")


def export(predicting: Any, to: str, path: Path, quantize: str = "") -> Json:
    """Writes the program, and beside it `path`.json. Returns that JSON's content. Raises Differs, and writes nothing,
    where the program does not say what the run said; ConfigError for a run without a head."""
    kind = format_of(to)
    program = program_of(predicting)
    told = list(predicting.told(ROWS))
    data = kind.save(program, quantize)
    facts = _measured(kind.load(data), program, told, predicting.precision, quantize)
    if not facts["agrees"]:
        raise Differs(Fault(str(path), _unlike(facts), do="nothing was written"))
    put(path, data)
    note = {
        "schema": "export/1",
        "format": to,
        "quantize": quantize or None,
        "bytes": len(data),
        "inputs": program.shapes(),
        "output": {"scores": ["B", len(predicting.classes)]},
        "classes": predicting.classes,
        "preprocessing": _before(predicting, path),
        "check": facts,
        "torch": torch.__version__,
    }
    put(path.with_name(f"{path.name}.json"), (json.dumps(note, indent=1, ensure_ascii=False) + "\n").encode())
    return note


def _before(predicting: Any, path: Path) -> Json:
    """The preprocessing, with the tokenizer's own file where there is one."""
    given = predicting.spec["model"]["input"]
    if "digest" not in given:
        return dict(predicting.kind.preprocessing(given))
    beside = path.with_name(f"{path.name}.tokenizer.json")
    put(beside, text_of(given["digest"], predicting.context.cache))
    return dict(predicting.kind.preprocessing(given, beside.name))


def _measured(scores: Any, program: Program, told: Any, precision: str, quantize: str) -> Json:
    found = agreement(scores, told)
    inputs, _ = told[0]
    one = dict(zip(program.names, (x[:1] for x in program.of(inputs))))

    @torch.no_grad()
    def eager() -> object:
        return program(*one.values())

    ours, theirs = latency(lambda: scores(one), eager)
    return {
        "rows": found.rows,
        "equal": found.equal,
        "max_difference": found.difference,
        "allowed": None if quantize else allowed(precision, found.largest),
        "agrees": agrees(found, precision, quantize),
        "latency_s": ours,
        "latency_run_s": theirs,
        "threads": torch.get_num_threads(),
    }


def _unlike(facts: Json) -> str:
    same = f"{facts['equal']:,} of {facts['rows']:,} answers are the run's"
    if facts["allowed"] is None:
        return f"only {same}"
    return f"scores differ by up to {facts['max_difference']:.2g}, allowed {facts['allowed']:.2g}; {same}"
