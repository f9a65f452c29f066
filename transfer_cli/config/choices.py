"""Which option stands in which slot, before Hydra composes: the root's, the strategy's, the experiment's, the words'.
Owns the defaults that depend on other choices (model, source, pretrain) and what a path after `data=` means."""

import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_cli.config import families
from transfer_cli.config.folders import ROOT, conf_dir, find_option, options
from transfer_cli.config.pretrained import is_folder_of_weights, model_of
from transfer_cli.config.synonyms import NAMES
from transfer_cli.config.words import Word, group_of, is_path, on_disk
from transfer_cli.config.yamls import MAX_DATA_BYTES, chosen, read
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError, TransferError, nearest

OWN = (
    "folder",
    "csv",
    "text_table",
    "text",
    "conll",
    "features",
    "medmnist",
    "hf",
)  # a user's own data, if they have a path
ENDINGS = {
    ".tsv": "text_table", ".jsonl": "text_table", ".txt": "text", ".md": "text", ".conll": "conll", ".mat": "features",
    ".parquet": "hf",
}  # fmt: skip
Slots = dict[str, str]


@dataclass
class Choices:
    """`slots`: Hydra's slot (`method@align`) -> option. `named`: word -> name as the user says it. `values`: settings a
    choice brings (a path), by word. `faulty`: words that could not be taken; `errors` say why."""

    slots: Slots = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[TransferError] = field(default_factory=list)
    faulty: set[str] = field(default_factory=set)


def slot_of(word: str) -> str:
    """Hydra's slot of a word: `align` -> `method@align`."""
    special = {"source": "data@source", "predictor": "predictor@evaluate.predictor"}
    return special.get(word, word if group_of(word) == word else f"method@{word}")


def word_of(slot: str) -> str:
    """The word of a slot: `method@align` -> `align`."""
    return slot.rpartition("@")[2].rpartition(".")[2]


def choose(words: Sequence[Word], weights: str, search: Sequence[Path], plugins: Sequence[str]) -> Choices:
    """Every slot filled, also where a word is wrong (then as if it were not there): `errors` says what is."""
    made, picked = Choices(), Slots()
    for key, value in words:
        try:
            option, made.values[key] = _option(key, value, search, plugins)
            picked[slot_of(key)], made.named[key] = option, value
        except TransferError as error:
            made.errors.append(error)
            made.faulty.add(key)
    made.slots, given = _layers(picked, search)
    _fill(made, given, picked, weights, search)
    made.named = {word_of(slot): name for slot, name in made.slots.items()} | made.named
    made.errors += _unknown(made.slots, search)
    return made


def _layers(picked: Slots, search: Sequence[Path]) -> tuple[Slots, set[str]]:
    """All slots, words before experiment before strategy before root; and those that something but the root filled."""
    root = dict(chosen(conf_dir() / ROOT))
    recipe = _chosen_by("experiment", picked.get("experiment"), search)
    strategy = (root | recipe | picked)["strategy"]
    given = _chosen_by("strategy", strategy, search) | recipe | picked
    return root | given | {"strategy": strategy}, set(given) - {"strategy", "experiment"}


def _chosen_by(group: str, name: str | None, search: Sequence[Path]) -> Slots:
    path = find_option(group, name, search) if name else None
    return {slot: option for slot, option in chosen(path) if slot} if path else {}


def plain_values(slots: Slots, search: Sequence[Path]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Values that strategy and experiment set themselves: {"experiment": (name, {...})}."""
    recipe, found = _chosen_by("experiment", slots.get("experiment"), search), {}
    slots = {"strategy": dict(chosen(conf_dir() / ROOT))["strategy"]} | recipe | slots
    for group in ("strategy", "experiment"):
        if (name := slots.get(group)) and (path := find_option(group, name, search)):
            found[group] = name, {key: value for key, value in read(path).items() if key != "defaults"}
    return found


def _unknown(slots: Slots, search: Sequence[Path]) -> list[TransferError]:
    """Options named by YAML files that no file answers to; those of words are found before."""
    absent = [(slot, name) for slot, name in slots.items() if not find_option(group_of(word_of(slot)), name, search)]
    return [unknown(word_of(slot), name, options(group_of(word_of(slot)), search)) for slot, name in absent]


def unknown(word: str, value: str, known: Sequence[str]) -> ConfigError:
    """The error for a name that no option has, with the nearest one."""
    group = group_of(word)
    near = NAMES.get(group, {}).get(value) or nearest(value, known)
    return ConfigError(Fault(word, "unknown", value, tuple(known), near, see=f"see transfer list {group}"))


def _option(word: str, value: str, search: Sequence[Path], plugins: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Option that `word=value` chooses, and the settings that come with it."""
    group = group_of(word)
    if word == "data" and value in ("none", "base"):
        raise ConfigError(Fault(word, "stands for a source only", value, see=f"say source={value}"))
    if find_option(group, value, search):
        return value, {}
    if group == "data" and (is_path(value) or on_disk(value)):
        return _own_data(word, value)
    if group == "model":
        return model_option(word, value, search, plugins)
    raise unknown(word, value, options(group, search))


def model_option(word: str, value: str, search: Sequence[Path], plugins: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Option of the group model that `value` names, itself or through its family, and its settings. Raises ConfigError
    that blames `word`."""
    if find_option("model", value, search):
        return value, {}
    known = options("model", search)
    if settings := families.chosen(word, value, known, search, plugins):
        return settings.pop("option"), settings
    names = known + [name for option in known for name in families.bare(option, search, plugins)]
    raise ConfigError(Fault(word, "unknown", value, tuple(names), nearest(value, names), see="see transfer list model"))


def _own_data(word: str, value: str) -> tuple[str, dict[str, Any]]:
    """`./pictures` -> folder, `book.txt` -> text, `rows.csv` -> by its columns, `x.npz` -> by its arrays, `my.yaml` ->
    what it says. Raises DataError if there is none."""
    path = Path(os.path.expanduser(value))
    if os.path.isdir(path):
        return "folder", {"path": str(path)}
    if not os.path.isfile(path):  # os.path, unlike Path, has an answer for names too long to exist
        raise DataError(Fault(word, "no such folder or file", value))
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in ENDINGS:
        return ENDINGS[suffix], {"path": str(path)}
    if suffix == ".csv":
        return _of_table(path), {"path": str(path)}
    if suffix == ".npz":
        return "medmnist" if _has_pictures(path) else "features", {"path": str(path)}
    if path.suffix in (".yaml", ".yml"):
        return "none", _data_yaml(path)  # its `family` replaces none's
    text = "is neither a folder, a .csv, .tsv, .jsonl, .txt, .conll, .npz, .mat, .parquet nor a .yaml"
    raise DataError(Fault(word, text, value))


def _data_yaml(file: Path) -> dict[str, Any]:
    """A user's YAML of a data set; its `path` is relative to the file."""
    found = read(file, MAX_DATA_BYTES)
    if isinstance(path := found.get("path"), str) and not path.startswith("~"):
        return found | {"path": os.path.normpath(file.parent / path)}
    return found


def _of_table(table: Path) -> str:
    """The family of a .csv: csv of pictures if it has a column `path`, text_table if it has `text`, features if all
    but label and part are numbers."""
    columns, cells = [], []
    with suppress(OSError), table.open(encoding="utf-8-sig", errors="replace") as file:
        columns, cells = ([cell.strip('" \n') for cell in file.readline(10_000).split(",")] for _ in range(2))
    if "path" in columns or "text" in columns:
        return "csv" if "path" in columns else "text_table"
    values = [cell for name, cell in zip(columns, cells, strict=False) if name not in ("label", "part")]
    return "features" if values and all(map(_is_number, values)) else "csv"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_pictures(file: Path) -> bool:
    """Whether a .npz names arrays as MedMNIST does."""
    with suppress(OSError, zipfile.BadZipFile, ValueError, NotImplementedError), zipfile.ZipFile(file) as archive:
        return "train_images.npy" in archive.namelist()
    return False


def _fill(made: Choices, given: set[str], picked: Slots, weights: str, search: Sequence[Path]) -> None:
    """Fills in defaults. A word with a fault counts as given, because its default could add a second fault."""
    given = given | {slot_of(word) for word in made.faulty}
    slots, named = made.slots, set(picked) | set(_chosen_by("experiment", picked.get("experiment"), search))
    path = find_option("data", slots["data"], search)
    data = (read(path) if path else {}) | made.values.get("data", {})
    own = data.get("family") in OWN and bool(data.get("path"))
    strategy, loaded = slots["strategy"], weights != "none"
    if strategy == "scratch" and loaded:
        made.errors.append(
            ConfigError(
                Fault(
                    "weights",
                    "strategy=scratch starts from nothing",
                    weights,
                    do="leave weights out, or say strategy=fine_tune",
                )
            )
        )
    if "model" not in given and is_folder_of_weights(weights):
        try:
            slots["model"], made.values["model"] = model_of(weights)
        except StoreError as error:
            made.errors.append(error)
    elif "model" not in given:
        slots["model"] = str(data.get("default_model", "resnet18"))
        _model(made, search)
    if "data@source" not in given:
        if own and not loaded and strategy != "none" and slots["method@pretrain"] != "none" and not made.faulty:
            text = "nothing to transfer from; say weights=..., source=..., or strategy=scratch"
            made.errors.append(DataError(Fault("data", text, made.named.get("data", slots["data"]))))
        slots["data@source"] = "none" if own or loaded else str(data.get("default_source", "base"))
    if "method@pretrain" not in named:
        if loaded:
            slots["method@pretrain"] = "given"
        elif slots["data@source"] == "none":
            slots["method@pretrain"] = "none"


def _model(made: Choices, search: Sequence[Path]) -> None:
    """A default model may be a name of a family, as after `model=`."""
    name = made.slots["model"]
    try:
        made.slots["model"], made.values["model"] = _option("model", name, search, ())
        made.named["model"] = name
    except ConfigError as error:
        made.errors.append(error)
