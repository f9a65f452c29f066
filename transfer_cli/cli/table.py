"""The table of commands and options, which the parser, the help and the completion read. Its imports are light, because
`--help` and completion import it."""

from typing import NamedTuple


class Option(NamedTuple):
    """One option. `value` names the type of its value (N, TIME, FILE, DIR ...) and is "" for a switch; `field` is its
    name in `Options`; `commands` lists the commands that have it, separated by spaces, and "" means all commands."""

    name: str
    letter: str
    value: str
    field: str
    help: str
    commands: str = ""


# command -> (arguments, what it does, an example)
HELP = {
    "run": ("[WORD ...]", "run an experiment, or several with -m", "transfer run experiment=hello"),
    "resume": ("[RUN] or [WORD ...]", "go on with a run or sweep that stopped", "transfer resume last"),
    "show": (
        "[WORD ...] or [RUN ...]",
        "settings and plan of words, or what a run did",
        "transfer show strategy=few_shot",
    ),
    "list": (
        "[GROUP] or [WORD ...]",
        "runs, sweeps, or strategies, methods, models, data, experiments",
        "transfer list strategies",
    ),
    "compare": (
        "[RUN ...] [WORD ...]",
        "runs side by side: which is better, and is the difference real",
        "transfer compare data=usps strategy=fine_tune,scratch",
    ),
    "rank": (
        "[DATA] [WORD ...]",
        "which source suits a target: scores before any training",
        "transfer rank data=usps data.shots=20 source=none,mnist",
    ),
    "report": (
        "[RUN ...] [WORD ...]",
        "a comparison as one HTML page to pass on, with all figures and settings",
        "transfer report last -o usps.html",
    ),
    "advise": (
        "[DATA] [WORD ...]",
        "which source and strategy to take, within a budget of time",
        "transfer advise data=usps data.shots=20 source=none,mnist --budget 15m",
    ),
    "note": ("RUN [TEXT]", "write a line about a run, or read it", "transfer note last 'wrong normalisation'"),
    "verify": (
        "experiment=NAME, [RUN] or [WORD ...]",
        "an experiment against its number, a run's files against their checksums",
        "transfer verify experiment=hello",
    ),
    "predict": (
        "[RUN] PATH",
        "answers for new rows: a file, folder or CSV of pictures, texts or columns",
        "transfer predict last ./new -o new.csv",
    ),
    "export": (
        "[RUN] --to FORMAT",
        "the net of a run as one file for other programs, checked against the run",
        "transfer export last --to onnx -o model.onnx",
    ),
    "explain": (
        "RUN INPUT ...",
        "why a run gives its answers: what counts in pictures and texts",
        "transfer explain last ./new/a.jpg",
    ),
    "serve": (
        "[RUN]",
        "a local page for a run: drop a picture or type a text, see answer and reasons",
        "transfer serve last --port 8000",
    ),
    "data": ("check DATA", "open every file; count, measure, find copies", "transfer data check ./pictures"),
    "fetch": ("NAME", "bring data or weights to the data folder", "transfer fetch usps"),
    "clean": ("", "what no run refers to; deletes with -y only", "transfer clean"),
    "doctor": (
        "[model=NAME]",
        "what works here; which precision a net is fastest in",
        "transfer doctor model=resnet18",
    ),
    "completion": ("bash|zsh|fish", "print a completion script", "transfer completion bash"),
}
COMMANDS = tuple(HELP)
_SETUP = "run resume show list data fetch predict export explain serve doctor verify rank advise"

OPTIONS = (
    Option("--multirun", "-m", "", "multirun", "every combination", "run show"),
    Option("--dry-run", "-n", "", "dry_run", "only the plan", "run resume"),
    Option("--seeds", "", "N", "seeds", "seeds 0 to N-1, with -m", "run show"),
    Option("--cfg", "", "", "cfg", "only the settings", "run"),
    Option("--jobs", "-j", "N", "jobs", "runs at a time", "run resume advise"),
    Option("--search", "", "N", "search", "N runs, each chosen by those before", "run"),
    Option("--budget", "", "TIME", "budget", "all of it takes no longer: 15m", "advise"),
    Option("--fail-fast", "", "", "fail_fast", "stop at first failure", "run resume"),
    Option("--retry-failed", "", "", "retry_failed", "diverged ones too", "run resume verify"),
    Option("--no-cache", "", "", "no_cache", "compute stages anew", "run"),
    Option("--wait", "", "TIME", "wait", "for a busy stage", "run resume verify"),
    Option("--strict-identity", "", "", "strict_identity", "no stage of other versions", "run resume"),
    Option(
        "--offline",
        "",
        "",
        "offline",
        "never use the network",
        "run resume show data predict fetch verify rank export explain serve advise",
    ),
    Option("--config-dir", "", "DIR", "config_dirs", "YAML files of your own", _SETUP),
    Option("--from", "", "FILE", "from_file", "take it from a file you have", "fetch"),
    Option("--features", "", "", "features", "features to -o FILE.npz, no classes", "predict"),
    Option("--to", "", "FORMAT", "to", "safetensors, onnx or torch_export", "export"),
    Option("--quantize", "", "KIND", "quantize", "int8: a smaller file (onnx)", "export"),
    Option("--candidate", "", "WORDS", "candidates", "a source: its words, quoted; may be repeated", "rank advise"),
    Option("--port", "", "PORT", "port", "8000; 0 takes a free one", "serve"),
    Option("--yes", "-y", "", "yes", "delete, or replace files, without asking", "clean export explain"),
    Option(
        "--metric", "", "NAME", "metric", "accuracy, nll ...; a search: target_val/accuracy", "run compare rank report"
    ),
    Option("--rule", "", "RULE", "rule", "final, source_val, target_val, information ..., oracle", "compare report"),
    Option("--by", "", "KEYS", "by", "groups: a,b; explain: gradcam, rollout ...", "compare report explain"),
    Option("--baseline", "", "WORDS", "baseline", "compare with this group", "compare report"),
    Option("--interval", "", "KIND", "interval", "t or bootstrap", "compare report"),
    Option("--not", "", "WORD", "without", "leave out runs; may be repeated", "compare list report"),
    Option("--columns", "", "NAMES", "columns", "these columns: a,b", "list compare rank"),
    Option("--plot", "", "FILE", "plot", "draw it into a .png", "compare"),
    Option("--watch", "", "", "watch", "show it anew until Ctrl-C", "list compare"),
    Option("--sort", "", "COL", "sort", "order by a column", "list compare rank"),
    Option("--limit", "", "N", "limit", "at most N rows", "list compare rank"),
    Option("--all", "", "", "all", "every row", "list compare rank report"),
    Option("--json", "", "", "json", "one JSON document"),
    Option("--format", "", "FORMAT", "format", "table, tsv, csv, md, latex or json"),
    Option("--out", "-o", "FILE", "out", "write the answer to a file"),
    Option("--quiet", "-q", "", "quiet", "the result only"),
    Option("--verbose", "-v", "", "verbose", "settings, loss terms, keys"),
    Option("--debug", "", "", "debug", "tracebacks"),
    Option("--color", "", "WHEN", "color", "auto, always or never"),
    Option("--plain", "", "", "plain", "one fact a line, no cursor movement"),
    Option("--runs", "", "DIR", "runs", "folder of runs (or TRANSFER_RUNS)"),
    Option("--help", "-h", "", "help", "this text"),
)


def options_of(command: str) -> list[Option]:
    """The options that a command accepts."""
    return [option for option in OPTIONS if not option.commands or command in option.commands.split()]
