"""transfer explain RUN INPUT ...: why a finished run gives its answers. A drawing of a picture for each likely class,
the words of a text with what each adds to the class; beside each what becomes of the class without what is marked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.cli.options import Options
from transfer_cli.cli.predict import answering, files_at, finished, texts_at
from transfer_cli.errors import ConfigError, DataError, Fault, nearest
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.report.text import Meaning, cells, clean, paint
from transfer_cli.safe import safe

if TYPE_CHECKING:
    from transfer_cli.explain.explaining import Answer, Explaining, Reason

METHODS = ("gradcam", "rollout", "occlusion", "gradients")
TABLES = (".txt", ".csv", ".tsv", ".jsonl")
STRONG = 0.4  # of the largest: a word that adds, or takes, this much is coloured
COLUMNS = (
    Column("path"),
    Column("class"),
    Column("probability"),
    Column("by"),
    Column("without"),
    Column("without_random"),
    Column("drawing"),
    Column("tokens", only="json"),
)


@dataclass(frozen=True)
class Told:
    """One input by its name, with its answer or what is wrong with it; `drawings` are files by class."""

    name: str
    answer: "Answer | None"
    error: str = ""
    drawings: dict[str, Path] | None = None


def main(options: Options) -> int:
    """Example: transfer explain last ./new/a.jpg -o explain"""
    if len(options.args) < 2:
        text = "wants a run and a picture, a folder or a text"
        raise ConfigError(Fault("explain", text, do="transfer explain last ./new/a.jpg"))
    by = _method(options)
    words = tuple(word for word in options.words if not word.startswith("plugins="))
    run = finished(replace(options, args=options.args[:1], words=words))
    predicting = answering(run, options)
    from transfer_cli.explain.explaining import Explaining

    told = list(_explained(Explaining(predicting, by), options.args[1:]))
    told = _drawn(told, options.out or Path("explain"), options.yes)
    screen = Screen.of(replace(options, out=None))  # -o is the folder of the drawings
    _show(told, screen)
    if bad := [one for one in told if one.error]:
        raise DataError(*(Fault(one.name, one.error) for one in bad[:5]))
    return 0


def _method(options: Options) -> str:
    if not options.by:
        return ""
    by = ",".join(options.by)
    if by not in METHODS:
        raise ConfigError(Fault("--by", f"one of {', '.join(METHODS)}", by, METHODS, nearest(by, METHODS)))
    return by


def _explained(explaining: "Explaining", inputs: Sequence[str]) -> Iterator[Told]:
    from transfer_cli.data.formats.decode import picture

    texts = explaining.predicting.reads == "texts"
    for text in inputs:
        named: list[tuple[str, Any]] = []
        named += _texts(text) if texts else [(str(path), path) for path in files_at(Path(text).expanduser())]
        for name, one in named:
            try:
                yield Told(name, explaining.text(one) if texts else explaining.picture(picture(one)))
            except DataError as error:
                yield Told(name, None, error.faults[0].text)


def _texts(text: str) -> list[tuple[str, Any]]:
    """Texts of a file; anything that is not named like one is a text itself."""
    place = Path(text).expanduser()
    return list(texts_at(place)) if place.suffix.lower() in TABLES else [(text, text)]


def _drawn(told: list[Told], folder: Path, replacing: bool) -> list[Told]:
    """Writes the drawings. Raises ConfigError, and writes none, where one would replace a file."""
    taken: set[Path] = set()
    placed = []
    for one in told:
        reasons = [reason for reason in one.answer.reasons if reason.drawing] if one.answer else []
        placed.append(
            replace(one, drawings={reason.label: _free(folder, one.name, reason, taken) for reason in reasons})
        )
    if not replacing and (there := sorted(path for path in taken if path.exists())):
        more = f", and {len(there) - 1} more" if there[1:] else ""
        do = "-y replaces what is there, -o FOLDER draws elsewhere"
        raise ConfigError(Fault(str(there[0]), f"is there already{more}", do=do))
    for one in placed:
        for reason in one.answer.reasons if one.answer else ():
            if reason.drawing and one.drawings:
                _write(reason.drawing, one.drawings[reason.label])
    return placed


def _free(folder: Path, name: str, reason: "Reason", taken: set[Path]) -> Path:
    """explain/a2-stain.png, with a number where two inputs of a command would have the same."""
    stem = f"{_plain(Path(name).stem)}-{_plain(reason.label)}"
    path, number = folder / f"{stem}.png", 2
    while path in taken:
        path, number = folder / f"{stem}-{number}.png", number + 1
    taken.add(path)
    return path


def _plain(name: str) -> str:
    """A name of data as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:60].lstrip(".") or "_"


def _write(drawing: Any, path: Path) -> None:
    import io

    from transfer_cli.errors import StoreError
    from transfer_cli.store.disk import put

    stream = io.BytesIO()
    drawing.save(stream, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(Fault("-o", f"no folder: {error.strerror}", str(path.parent))) from error
    put(path, stream.getvalue(), durable=False)


def _show(told: Sequence[Told], screen: Screen) -> None:
    if screen.format != "table":
        rows = [_row(one, reason) for one in told if one.answer for reason in one.answer.reasons]
        screen.show(Table(COLUMNS, rows, schema="explain/1"))
        return
    for one in told:
        if one.answer is not None:
            screen.write("".join(f"{line}\n" for line in _lines(one, one.answer, screen)))


def _row(one: Told, reason: "Reason") -> dict[str, Any]:
    return {
        "path": one.name,
        "class": reason.label,
        "probability": reason.test.before,
        "by": reason.by,
        "without": reason.test.without,
        "without_random": reason.test.random,
        "drawing": str((one.drawings or {}).get(reason.label, "")),
        "tokens": [[piece.strip(), value] for piece, value in reason.pieces],
    }


def _lines(one: Told, answer: "Answer", screen: Screen) -> Iterator[str]:
    """`a2.jpg  stain 48 %, Crack 41 % → explain/a2-stain.png, a2-Crack.png`, then each reason."""
    look, reasons = screen.look, answer.reasons
    chances = ", ".join(f"{reason.label} {100 * answer.chances[reason.label]:.0f} %" for reason in reasons)
    drawings = list((one.drawings or {}).values())
    places = ", ".join([*map(str, drawings[:1]), *(path.name for path in drawings[1:])])
    yield clean(
        f"{Path(one.name).name if drawings else one.name}  {chances}{f' → {places}' if places else ''}", look.encoding
    )
    for reason in reasons:
        if reason.pieces:
            yield from _words(reason, screen)
        name = f"{reason.label}, " if reasons[1:] else ""
        test = f"{name}without the marked 20 %: {100 * reason.test.without:.0f} %"
        yield clean(f"{test} (without a random 20 %: {100 * reason.test.random:.0f} %)", look.encoding)


def _words(reason: "Reason", screen: Screen) -> Iterator[str]:
    """Words in colour where the terminal has it; else, and for a screen reader, those that count with their numbers."""
    look = screen.look
    most = max(abs(value) for _, value in reason.pieces) or 1.0
    if look.color:
        line, width = "", 0
        for piece, value in reason.pieces:
            meaning: Meaning | None = None if abs(value) < STRONG * most else "good" if value > 0 else "bad"
            text = clean(piece, look.encoding)
            if line and width + cells(text) > look.width - 2:
                yield f"  {line}"
                line, width, text = "", 0, text.lstrip()
            line += paint(text, meaning, True)
            width += cells(text)
        yield f"  {line}"
        return
    strongest = sorted(reason.pieces, key=lambda pair: -abs(pair[1]))[:8]
    shown = "   ".join(f"{safe(piece.strip())} {value:+.2f}" for piece, value in strongest)
    yield clean(f"  {shown}", look.encoding)
