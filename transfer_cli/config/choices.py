"""Chooses the option of each slot, before Hydra composes. Reads the root, the strategy, the experiment and the words.
Defines the defaults that depend on other choices (model, source, pretrain), and the meaning of a path after `data=`."""

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
)  # families of a user's own data, if they have a path
ENDINGS = {
    ".tsv": "text_table", ".jsonl": "text_table", ".txt": "text", ".md": "text", ".conll": "conll", ".mat": "features",
    ".parquet": "hf",
}  # fmt: skip
Slots = dict[str, str]


@dataclass
class Choices:
    """`slots`: Hydra's slot (`method@align`) -> option. `named`: word -> name that the user chose. `values`: settings
    that come with a choice (such as a path), by word. `faulty`: words with an error; `errors`: the errors."""

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
    """Fills every slot. A word with an error is ignored, and its error is added to `errors`."""
    choices, picked = Choices(), Slots()
    for key, value in words:
        try:
            option, choices.values[key] = _option(key, value, search, plugins)
            picked[slot_of(key)], choices.named[key] = option, value
        except TransferError as error:
            choices.errors.append(error)
            choices.faulty.add(key)
    choices.slots, given = _layers(picked, search)
    _fill(choices, given, picked, weights, search)
    choices.named = {word_of(slot): name for slot, name in choices.slots.items()} | choices.named
    choices.errors += _unknown(choices.slots, search)
    return choices


def _layers(picked: Slots, search: Sequence[Path]) -> tuple[Slots, set[str]]:
    """All slots, in the order of precedence words, experiment, strategy, root; and the slots that are filled by
    anything but the root."""
    root = dict(chosen(conf_dir() / ROOT))
    recipe = _chosen_by("experiment", picked.get("experiment"), search)
    strategy = (root | recipe | picked)["strategy"]
    given = _chosen_by("strategy", strategy, search) | recipe | picked
    return root | given | {"strategy": strategy}, set(given) - {"strategy", "experiment"}


def _chosen_by(group: str, name: str | None, search: Sequence[Path]) -> Slots:
    path = find_option(group, name, search) if name else None
    return {slot: option for slot, option in chosen(path) if slot} if path else {}


def plain_values(slots: Slots, search: Sequence[Path]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The values in the files of strategy and experiment: {"experiment": (name, {...})}."""
    recipe, by_group = _chosen_by("experiment", slots.get("experiment"), search), {}
    slots = {"strategy": dict(chosen(conf_dir() / ROOT))["strategy"]} | recipe | slots
    for group in ("strategy", "experiment"):
        if (name := slots.get(group)) and (path := find_option(group, name, search)):
            by_group[group] = name, {key: value for key, value in read(path).items() if key != "defaults"}
    return by_group


def _unknown(slots: Slots, search: Sequence[Path]) -> list[TransferError]:
    """Errors for options that YAML files name and that have no file; options of words are checked before."""
    absent = [(slot, name) for slot, name in slots.items() if not find_option(group_of(word_of(slot)), name, search)]
    return [unknown(word_of(slot), name, options(group_of(word_of(slot)), search)) for slot, name in absent]


def unknown(word: str, value: str, known: Sequence[str]) -> ConfigError:
    """The error for an unknown option, with the nearest name."""
    group = group_of(word)
    near = NAMES.get(group, {}).get(value) or nearest(value, known)
    return ConfigError(Fault(word, "unknown", value, tuple(known), near, see=f"see transfer list {group}"))


def _option(word: str, value: str, search: Sequence[Path], plugins: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The option that `word=value` chooses, and the settings that come with it. Raises ConfigError for an unknown name,
    DataError for a path that does not exist."""
    group = group_of(word)
    if word == "data" and value in ("none", "base"):
        raise ConfigError(Fault(word, "is allowed for a source only", value, see=f"say source={value}"))
    if find_option(group, value, search):
        return value, {}
    if group == "data" and (is_path(value) or on_disk(value)):
        return _own_data(word, value)
    if group == "model":
        return model_option(word, value, search, plugins)
    raise unknown(word, value, options(group, search))


def model_option(word: str, value: str, search: Sequence[Path], plugins: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The option of the group model that `value` names, directly or as a net of a family, and its settings. Raises
    ConfigError with the key `word`."""
    if find_option("model", value, search):
        return value, {}
    known = options("model", search)
    if settings := families.chosen(word, value, known, search, plugins):
        return settings.pop("option"), settings
    names = known + [name for option in known for name in families.short_names(option, search, plugins)]
    raise ConfigError(Fault(word, "unknown", value, tuple(names), nearest(value, names), see="see transfer list model"))


def _own_data(word: str, value: str) -> tuple[str, dict[str, Any]]:
    """The data family for a path, and its settings: `./pictures` -> folder, `book.txt` -> text, `rows.csv` -> by its
    columns, `x.npz` -> by its arrays, `my.yaml` -> by its content. Raises DataError if there is no such file."""
    path = Path(os.path.expanduser(value))
    if os.path.isdir(path):
        return "folder", {"path": str(path)}
    if not os.path.isfile(path):  # os.path, unlike Path, does not raise for names that are too long
        raise DataError(Fault(word, "no such folder or file", value))
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix in ENDINGS:
        return ENDINGS[suffix], {"path": str(path)}
    if suffix == ".csv":
        return _of_table(path), {"path": str(path)}
    if suffix == ".npz":
        return "medmnist" if _has_pictures(path) else "features", {"path": str(path)}
    if path.suffix in (".yaml", ".yml"):
        return "none", _data_yaml(path)  # its `family` replaces that of the option none
    text = "is neither a folder, a .csv, .tsv, .jsonl, .txt, .conll, .npz, .mat, .parquet nor a .yaml"
    raise DataError(Fault(word, text, value))


def _data_yaml(file: Path) -> dict[str, Any]:
    """The content of a user's YAML of a data set; its `path` is relative to the file."""
    node = read(file, MAX_DATA_BYTES)
    if isinstance(path := node.get("path"), str) and not path.startswith("~"):
        return node | {"path": os.path.normpath(file.parent / path)}
    return node


def _of_table(table: Path) -> str:
    """The family of a .csv file: csv (of pictures) with a column `path`, text_table with a column `text`, features if
    all columns but label and part contain numbers; otherwise csv."""
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
    """Whether a .npz file has the arrays of MedMNIST."""
    with suppress(OSError, zipfile.BadZipFile, ValueError, NotImplementedError), zipfile.ZipFile(file) as archive:
        return "train_images.npy" in archive.namelist()
    return False


def _fill(choices: Choices, given: set[str], picked: Slots, weights: str, search: Sequence[Path]) -> None:
    """Fills in defaults. A word with a fault counts as given, because its default could cause a second fault."""
    given = given | {slot_of(word) for word in choices.faulty}
    slots, named = choices.slots, set(picked) | set(_chosen_by("experiment", picked.get("experiment"), search))
    path = find_option("data", slots["data"], search)
    data = (read(path) if path else {}) | choices.values.get("data", {})
    own = data.get("family") in OWN and bool(data.get("path"))
    strategy, loaded = slots["strategy"], weights != "none"
    if strategy == "scratch" and loaded:
        choices.errors.append(
            ConfigError(
                Fault(
                    "weights",
                    "strategy=scratch starts without weights",
                    weights,
                    do="leave weights out, or say strategy=fine_tune",
                )
            )
        )
    if "model" not in given and is_folder_of_weights(weights):
        try:
            slots["model"], choices.values["model"] = model_of(weights)
        except StoreError as error:
            choices.errors.append(error)
    elif "model" not in given:
        slots["model"] = str(data.get("default_model", "resnet18"))
        _model(choices, search)
    if "data@source" not in given:
        if own and not loaded and strategy != "none" and slots["method@pretrain"] != "none" and not choices.faulty:
            text = "nothing to transfer from; say weights=..., source=..., or strategy=scratch"
            choices.errors.append(DataError(Fault("data", text, choices.named.get("data", slots["data"]))))
        slots["data@source"] = "none" if own or loaded else str(data.get("default_source", "base"))
    if "method@pretrain" not in named:
        if loaded:
            slots["method@pretrain"] = "given"
        elif slots["data@source"] == "none":
            slots["method@pretrain"] = "none"


def _model(choices: Choices, search: Sequence[Path]) -> None:
    """Resolves the default model, which may be a net of a family, as after `model=`."""
    name = choices.slots["model"]
    try:
        choices.slots["model"], choices.values["model"] = _option("model", name, search, ())
        choices.named["model"] = name
    except ConfigError as error:
        choices.errors.append(error)
