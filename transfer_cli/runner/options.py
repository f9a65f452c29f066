"""The options of a command line as values. cli/options.py parses them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Options:
    """A parsed command line. `words` contain `=`; `args` are the bare arguments after the command; the other fields are
    options. `config_dirs`: the folders of --config-dir and ./conf; `budget` and `wait` are in seconds, and None means
    without limit for `wait`."""

    command: str
    words: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    json: bool = False
    format: str | None = None
    out: Path | None = None
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    color: str = "auto"
    plain: bool = False
    runs: Path = Path("runs")
    multirun: bool = False
    seeds: int | None = None
    dry_run: bool = False
    cfg: bool = False
    jobs: int = 1
    search: int | None = None
    budget: float | None = None
    metric: str | None = None
    fail_fast: bool = False
    retry_failed: bool = False
    no_cache: bool = False
    wait: float | None = None
    strict_identity: bool = False
    offline: bool = False
    config_dirs: tuple[Path, ...] = ()
    from_file: Path | None = None
    features: bool = False
    candidates: tuple[tuple[str, ...], ...] = ()
    to: str = ""
    quantize: str = ""
    yes: bool = False
    rule: str = ""
    by: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()
    interval: Literal["t", "bootstrap"] = "t"
    without: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    plot: Path | None = None
    watch: bool = False
    sort: str | None = None
    limit: int | None = None
    port: int = 8000
    all: bool = False
