"""`transfer completion SHELL` prints a shell script, which calls `transfer __complete WORDS... CURRENT` at each Tab.
That call must answer at once, so it imports little and reads only the names of files (scandir)."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_cli.cli.table import COMMANDS, OPTIONS, options_of

if TYPE_CHECKING:
    from transfer_cli.runner.options import Options

BASH = r"""# bash completion of transfer
_transfer() {
    local line="${COMP_LINE:0:COMP_POINT}" current before IFS=$' \t\n'
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    # bash completes only the part behind the last =
    before=""
    [[ $COMP_WORDBREAKS == *=* && $current == *=* ]] && before="${current%"${current##*=}"}"
    local IFS=$'\n'
    COMPREPLY=($(transfer __complete "${words[@]:1}" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${COMPREPLY[0]-} == *[=/] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _transfer transfer"""

ZSH = r"""#compdef transfer
_transfer() {
    local -a found open
    found=(${(f)"$(transfer __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    open=(${(M)found:#*[=/]})
    found=(${found:#*[=/]})
    (( $#open )) && compadd -Q -S '' -- $open
    (( $#found )) && compadd -Q -- $found
}
compdef _transfer transfer"""

FISH = r"""# fish completion of transfer
complete -c transfer -f -a '(transfer __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'"""

INSTALL = {
    "bash": (BASH, "transfer completion bash > ~/.local/share/bash-completion/completions/transfer"),
    "zsh": (ZSH, 'transfer completion zsh > "${fpath[1]}/_transfer"'),
    "fish": (FISH, "transfer completion fish > ~/.config/fish/completions/transfer.fish"),
}
LISTS = ("runs", "strategies", "methods", "models", "data", "experiments")


def main(options: "Options") -> int:
    """Prints the script on stdout, the line that installs it on stderr."""
    from transfer_cli.errors import ConfigError, Fault, nearest

    shell = options.args[0] if len(options.args) == 1 else ""
    if shell not in INSTALL:
        near = nearest(shell, tuple(INSTALL))
        raise ConfigError(Fault("completion", "needs one of bash, zsh, fish", shell or None, tuple(INSTALL), near))
    script, install = INSTALL[shell]
    print(script)
    print(f"install: {install}", file=sys.stderr)
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """Completions of the last of `words`, which is partly typed or empty. `words` are those after `transfer`."""
    *before, current = words or [""]
    command = next((word for word in before if word in COMMANDS), "")
    if before and (path := _file_option(before[-1])):
        return _starting(current, _paths(current, folders_only=path == "DIR"))
    if current.startswith("-"):
        return _starting(current, (o.name for o in (options_of(command) if command else OPTIONS)))
    if not command:
        return _starting(current, COMMANDS)
    if "=" in current:
        return _values(current, before)
    return _starting(current, _next_word(command, before, current))


def _starting(current: str, texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if text.startswith(current)})


def _file_option(text: str) -> str:
    return next((o.value for o in OPTIONS if text in (o.name, o.letter) and o.value in ("FILE", "DIR")), "")


def _next_word(command: str, before: Sequence[str], current: str) -> Iterator[str]:
    if command in ("run", "show") or (command == "compare" and current):
        from transfer_cli.config.words import CHOICES

        given_keys = {word.partition("=")[0] for word in before}
        yield from (f"{word}=" for word in (*CHOICES, "weights", "seed") if word not in given_keys)
    if command in ("show", "compare", "resume", "predict", "note", "export", "explain", "serve"):
        yield from ("last", *_runs(before))
    if command in ("predict", "explain", "data"):
        yield from _paths(current)
    fixed = {"list": LISTS, "completion": tuple(INSTALL), "data": ("check",)}
    yield from fixed.get(command, ())
    if command in ("fetch", "data"):
        yield from _options("data", before)


def _values(current: str, before: Sequence[str]) -> list[str]:
    """Completions of the value in `key=value`, of its last part if it has commas: options of the key's group, and
    paths where the value may be a path."""
    from transfer_cli.config.words import CHOICES, LITERAL, group_of

    key, _, value = current.partition("=")
    complete, comma, last = value.rpartition(",")
    texts = list(_options(group_of(key), before)) if key in CHOICES else []
    texts += ["none", "imagenet", *_runs(before)] if key == "weights" else []
    texts += _paths(last) if key in LITERAL else []
    return [f"{key}={complete}{comma}{text}" for text in _starting(last, texts)]


def _options(group: str, before: Sequence[str]) -> list[str]:
    from transfer_cli.config.folders import options

    return options(group, [place for place in (*_after("--config-dir", before), Path("conf")) if place.is_dir()])


def _after(option: str, before: Sequence[str]) -> list[Path]:
    return [Path(value).expanduser() for name, value in pairwise(before) if name == option]


def _runs(before: Sequence[str]) -> Iterator[str]:
    """Ids of runs: the part of a folder's name behind its last `-`."""
    root = [*_after("--runs", before), Path(os.environ.get("TRANSFER_RUNS") or "runs")][0]
    for group in _folders(root):
        yield from (run.name.rpartition("-")[2] for run in _folders(Path(group.path)))


def _folders(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _paths(begun: str, folders_only: bool = False) -> list[str]:
    """Files and folders in the folder of the path `begun`; folders end in a slash."""
    folder, slash, _ = begun.rpartition("/")
    try:
        with os.scandir(Path(f"{folder}{slash}" or ".").expanduser()) as entries:
            named = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    return [f"{folder}{slash}{name}{'/' * is_dir}" for name, is_dir in named if is_dir or not folders_only]
