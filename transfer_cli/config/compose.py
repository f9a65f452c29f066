"""Words -> one resolved, checked configuration. The only file that imports Hydra, and only when something is composed.
Hydra merges the chosen YAML files; the user's values are laid over them here, and check.py looks at the result."""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from transfer_cli.config import choices as choosing
from transfer_cli.config import words as wording
from transfer_cli.config.folders import ROOT, conf_dir, find_option, hidden, user_dirs
from transfer_cli.config.folders import describe_option as describe_option
from transfer_cli.config.folders import options as options
from transfer_cli.config.signatures import package_dir
from transfer_cli.config.words import Word
from transfer_cli.errors import ConfigError, Fault, TransferError

Json = dict[str, Any]
REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_LOCK = Lock()  # Hydra's state is one a process


@dataclass(frozen=True)
class Config:
    """One run's configuration. `values`: plain, checked, filled. `choices`: word -> name chosen. `words`: as typed.
    `search`: user folders looked in. `changed`: dotted key -> (without the user's words, now)."""

    values: Json
    choices: dict[str, str]
    words: tuple[str, ...]
    search: tuple[Path, ...] = ()
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def load(words: Sequence[str], *, config_dirs: Sequence[Path] = (), check: bool = True) -> Config:
    """The configuration of single-valued words. Raises ConfigError (or DataError) with all faults of the words."""
    return _Loader(words, config_dirs).load(check)
