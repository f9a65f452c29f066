"""Writes the lists of README.md that follow from the code: the file tree and the glossary.   make lists"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PACKAGE = Path("transfer_cli")
PAGE = PACKAGE / "serve" / "page"
WIDTH = 120


def first_sentence(file: Path) -> str:
    """What the docstring of a module says first."""
    text = " ".join((ast.get_docstring(ast.parse(file.read_text())) or "").split())
    return re.split(r"(?<=[^A-Z .])\.(?=\s|$)", text)[0].rstrip(".")


def line(name: str, text: str) -> str:
    """An indented entry, shortened to the width of the page."""
    entry = f"  {name:<24} {text}".rstrip()
    return entry if len(entry) <= WIDTH else entry[: WIDTH - 4].rsplit(" ", 1)[0] + " ..."


def folder(path: Path) -> Iterator[str]:
    """A folder and its files."""
    yield f"{path.as_posix()}/"
    if path == PAGE:
        yield line("index.html", "page.js, page.css: all that the browser gets")
    for file in sorted(file for file in (ROOT / path).glob("*.py") if file.name != "__init__.py"):
        yield line(file.name, first_sentence(file))


def folders() -> list[Path]:
    """Our packages, the top one first."""
    inner = {file.parent.relative_to(ROOT) for file in (ROOT / PACKAGE).rglob("__init__.py")}
    return [PACKAGE, *sorted((inner | {PAGE}) - {PACKAGE})]


def with_tree(text: str) -> str:
    """README with a new file tree: from the line `transfer_cli/` below the heading `Files` to the end of its block."""
    start = text.index("\ntransfer_cli/\n", text.index("## Files")) + 1
    end = text.index("```", start)
    return text[:start] + "\n".join(entry for path in folders() for entry in folder(path)) + "\n" + text[end:]


if __name__ == "__main__":
    README.write_text(with_tree(README.read_text()))
    subprocess.run([sys.executable, "-m", "transfer_cli.cli.glossary", str(README)], cwd=ROOT, check=True)
