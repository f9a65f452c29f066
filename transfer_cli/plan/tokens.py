"""A normal form of Python source, which neither a formatter nor the Python version changes.

Tokens are used and not a dump of the syntax tree, because the dump differs between Python versions: an upgrade would
change every key."""

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

_OPEN, _CLOSE = "([{", ")]}"
_SKIP = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def source_hash(source: bytes) -> str:
    """The hash of Python source. It does not depend on comments, docstrings, quotes, line breaks or the width of
    indentation."""
    return sha256("\n".join(normal(source)).encode("utf-8", "backslashreplace")).hexdigest()


def normal(source: bytes) -> list[str]:
    """The tokens of `source` in a form that neither a formatter nor the Python version changes."""
    result: list[str] = []
    line: list[tuple[str, str]] = []
    for kind, text in _tokens(source):
        line.append((kind, text))
        if kind == "end":
            if any(kind not in ("end", "in", "out", "str") for kind, _ in line):
                result += [f"{kind} {text}" for kind, text in _without_trailing_commas(_joined(line))]
            else:  # a docstring or another string that is not used: only its indentation matters
                result += [kind for kind, _ in line if kind in ("in", "out")]
            line = []
    return result + [kind for kind, _ in line]


def _tokens(source: bytes) -> Iterator[tuple[str, str]]:
    """Yields (kind, text). Kinds: in and out (indentation), end (of a line), str (a constant), fstr, num, and word
    (names and operators)."""
    lines = source.decode("utf-8-sig").splitlines(keepends=True)
    depth, start = 0, (0, 0)
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):  # since Python 3.12 an f-string is several tokens: use its whole text
            start = start if depth else token.start
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
            if not depth:
                yield "fstr", _plain_quotes(_between(lines, start, token.end))
        elif not depth and token.type not in _SKIP:
            yield _kind(name, token.string)


def _kind(name: str, text: str) -> tuple[str, str]:
    if name == "STRING":
        prefix = text[: min(text.find(quote) for quote in "'\"" if quote in text)].lower()
        return ("fstr", _plain_quotes(text)) if set(prefix) & {"f", "t"} else ("str", repr(ast.literal_eval(text)))
    kinds = {"INDENT": "in", "DEDENT": "out", "NEWLINE": "end", "NUMBER": "num"}
    kind = kinds.get(name, "word")
    return kind, text.lower() if kind == "num" else text if kind == "word" else ""


def _plain_quotes(text: str) -> str:
    """An f-string in double quotes if it contains no quotes; otherwise unchanged."""
    prefix, quote, body = text.partition("'")
    simple = quote and body.endswith("'") and not set(body[:-1]) & {"'", '"'} and '"' not in prefix
    return f'{prefix}"{body[:-1]}"' if simple else text


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    return "".join([lines[start[0] - 1][start[1] :], *middle, lines[end[0] - 1][: end[1]]])


def _joined(line: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Joins neighbouring string constants: "a" "b" becomes "ab"."""
    result: list[tuple[str, str]] = []
    for kind, text in line:
        before = ast.literal_eval(result[-1][1]) if kind == "str" and result and result[-1][0] == "str" else None
        if before is not None:
            result[-1] = ("str", repr(before + ast.literal_eval(text)))
        else:
            result.append((kind, text))
    return result


def _without_trailing_commas(line: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Removes commas before a closing bracket if they have no meaning; in `(x,)` and `a[x,]` they make a tuple."""
    result: list[tuple[str, str]] = []
    stack: list[list[Any]] = []  # for each open bracket: whether its first comma may make a tuple, commas so far
    for kind, text in line:
        if kind == "word" and text in _OPEN:
            after_value = bool(result) and _ends_value(*result[-1])
            stack.append([text == ("[" if after_value else "("), 0])
        elif kind == "word" and text in _CLOSE and stack:
            tuple_like, commas = stack.pop()
            if result[-1] == ("word", ",") and not (tuple_like and commas == 1):
                result.pop()
        elif (kind, text) == ("word", ",") and stack:
            stack[-1][1] += 1
        result.append((kind, text))
    return result


def _ends_value(kind: str, text: str) -> bool:
    if kind in ("str", "fstr"):
        return True
    is_name = text.isidentifier() and not keyword.iskeyword(text) and text not in ("match", "case")
    return kind == "word" and (is_name or text in _CLOSE)
