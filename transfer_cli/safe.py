"""Outside text made harmless: for terminals, spreadsheets, paths and records. Stdlib only, no files touched."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[0-9a-f]{32}")
# C0 but tab, DEL, C1, bidi controls; lone surrogates (undecodable file names) cannot be encoded at all
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SECRET = re.compile(  # `api_key`, `authToken`, but not `tokenizer`
    r"(?:^|[^a-z])(?:api|access|auth|private|secret)*(?:token|secret|password|passwd|key|credential)s?(?:$|[^a-z])",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"([\w-]+)(['\"]?\s*:\s*)([^,{}]+)")  # `{auth_token: x}`
_URL_USER = re.compile(r"(?<=://)[^/\s@]*@")
_ALLOWED = re.compile(
    r"(OMP|MKL|KMP|ATEN|ONEDNN)_[A-Z0-9_]*|CUDA_VISIBLE_DEVICES|PYTHONHASHSEED|TRANSFER_[A-Z0-9_]*", re.ASCII
)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def safe(text: object) -> str:
    r"""`text` for one line of a terminal or log: control and direction characters become visible escapes.

    >>> safe("a\x1b]0;x\x07b")
    'a\\x1b]0;x\\x07b'"""
    return _UNSAFE.sub(_escaped, str(text))


def check_name(name: str, what: str = "name") -> str:
    """`name` if it can be a part of a path under runs/. Raises ConfigError otherwise."""
    if NAME.fullmatch(name) and ".." not in name:
        return name
    fault = "not a name: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first, no '..'"
    raise ConfigError(Fault(what, fault, value=safe(name[:80])))


def check_key(key: str) -> str:
    """`key` if it is the key of a stage, 32 hex digits. Raises ConfigError otherwise."""
    if KEY.fullmatch(key):
        return key
    raise ConfigError(Fault("stage", "not a stage key: 32 hex digits", value=safe(key[:80])))


def csv_cell(value: object) -> object:
    """`value` for a spreadsheet: text that would be read as a formula gets a leading quote, numbers stay numbers."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")):
        return "'" + value
    return value


def _places() -> list[tuple[Path, str]]:
    places = []
    with suppress(OSError):  # the working directory may be gone
        places.append((Path.cwd(), ""))
    with suppress(RuntimeError):  # there may be no home
        places.append((Path.home(), "~/"))
    return places


def hide_places(text: str) -> str:
    """`text` without `user:password@` in URLs, with paths relative to the working directory or to `~`."""
    if "/" not in text:
        return text
    text = _URL_USER.sub("", text)
    for folder, short in _places():
        if folder != Path(folder.anchor):
            # not inside a longer path or name: /home/a must not change /mnt/home/a or /home/ab
            text = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", short, text)
            text = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}(?![\w./-])", short.rstrip("/") or ".", text)
    return text


def hide_secrets(argv: Sequence[str]) -> list[str]:
    """The command for a record: values of keys that sound secret become `***`, also after a `--token`."""
    shown: list[str] = []
    hide_next = False
    for word in argv:
        key, equals, _ = word.partition("=")
        secret = bool(_SECRET.search(key))
        if hide_next and not word.startswith("-"):
            shown.append("***")
        else:
            shown.append(f"{key}=***" if equals and secret else _INSIDE.sub(_hidden, hide_places(word)))
        hide_next = secret and not equals and word.startswith("-")
    return shown


def _hidden(match: re.Match[str]) -> str:
    key, colon, value = match.groups()
    return str(key + colon + ("***" if _SECRET.search(key) else value))


def scrub(value: object) -> object:
    """A configuration for a record: `hide_places` on every text in it, secrets by key as in `hide_secrets`.

    A home directory comes back as `~`: whoever reads the record expands it."""
    if isinstance(value, dict):
        hidden = {k: isinstance(v, str) and bool(_SECRET.search(str(k))) for k, v in value.items()}
        return {k: "***" if hidden[k] else scrub(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return hide_places(value) if isinstance(value, str) else value


def environment() -> dict[str, str]:
    """The variables that may decide numbers, by allow-list; nothing else of the environment is ever recorded."""
    names = sorted(name for name in os.environ if _ALLOWED.fullmatch(name))
    return {name: "***" if _SECRET.search(name) else hide_places(os.environ[name]) for name in names}


def shown(path: Path) -> str:
    """A path for a message: relative to the working directory where it lies below it, else with `~`."""
    return safe(hide_places(str(path)))
