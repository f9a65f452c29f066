"""Makes untrusted text safe for terminals, spreadsheets, paths and records. Standard library only; opens no files."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEY = re.compile(r"[0-9a-f]{32}")
# C0 controls except tab, DEL, C1, bidi controls; lone surrogates (undecodable file names) cannot be encoded
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
    r"""`text` for one line of a terminal or log: control and direction characters are replaced by visible escapes.

    >>> safe("a\x1b]0;x\x07b")
    'a\\x1b]0;x\\x07b'"""
    return _UNSAFE.sub(_escaped, str(text))


def check_name(name: str, what: str = "name") -> str:
    """Returns `name` if it is a valid part of a path under runs/. Raises ConfigError otherwise."""
    if NAME.fullmatch(name) and ".." not in name:
        return name
    fault = "not a name: 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first, no '..'"
    raise ConfigError(Fault(what, fault, value=safe(name[:80])))


def check_key(key: str) -> str:
    """Returns `key` if it is a stage key, 32 hex digits. Raises ConfigError otherwise."""
    if KEY.fullmatch(key):
        return key
    raise ConfigError(Fault("stage", "not a stage key: 32 hex digits", value=safe(key[:80])))


def csv_cell(value: object) -> object:
    """`value` for a spreadsheet cell: text that would be parsed as a formula gets a leading quote; numbers are
    unchanged."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")):
        return "'" + value
    return value


def _places() -> list[tuple[Path, str]]:
    places = []
    with suppress(OSError):  # the working directory may have been deleted
        places.append((Path.cwd(), ""))
    with suppress(RuntimeError):  # there may be no home directory
        places.append((Path.home(), "~/"))
    return places


def hide_places(text: str) -> str:
    """Removes `user:password@` from URLs in `text`, and shortens paths relative to the working directory or to `~`."""
    if "/" not in text:
        return text
    text = _URL_USER.sub("", text)
    for folder, short in _places():
        if folder != Path(folder.anchor):
            # do not match inside a longer path or name: /home/a must not change /mnt/home/a or /home/ab
            text = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", short, text)
            text = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}(?![\w./-])", short.rstrip("/") or ".", text)
    return text


def hide_secrets(argv: Sequence[str]) -> list[str]:
    """Command-line arguments for a record: values of keys such as `token` or `--token` are replaced by `***`."""
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
    """A configuration for a record: applies `hide_places` to every text, and hides values of secret keys as
    `hide_secrets` does. The home directory becomes `~`, which readers of the record must expand."""
    if isinstance(value, dict):
        hidden = {k: isinstance(v, str) and bool(_SECRET.search(str(k))) for k, v in value.items()}
        return {k: "***" if hidden[k] else scrub(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return hide_places(value) if isinstance(value, str) else value


def environment() -> dict[str, str]:
    """Environment variables that may change results, by an allow-list. No other variable is recorded."""
    names = sorted(name for name in os.environ if _ALLOWED.fullmatch(name))
    return {name: "***" if _SECRET.search(name) else hide_places(os.environ[name]) for name in names}


def shown(path: Path) -> str:
    """A path for messages: relative to the working directory if it is inside, else with `~` for the home directory."""
    return safe(hide_places(str(path)))
