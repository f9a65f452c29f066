"""Tokenizers: trained by the plan on training texts, or read from files; cached by the hash of their content.

All tokenizers are stored in the JSON format of the `tokenizers` library. No torch."""

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.data.array_cache import name_of, put
from transfer_cli.errors import DataError, Fault, StoreError

LEARNED = ("byte", "char", "bpe")
FILES = ("tokenizer.json", "vocab.json", "vocab.txt")  # a folder of a tokenizer contains one of them
SIZE = 2000  # default number of tokens for bpe
UNKNOWN = "<unk>"
MOST_BYTES = 64 * 2**20
VERSION = 1  # increment when the same texts would give another tokenizer
Json = dict[str, Any]


class Tokenizer:
    """Converts texts to token ids 0..size-1. `chars` [size] is the number of characters of each token."""

    def __init__(self, text: str) -> None:
        """`text`: JSON of the `tokenizers` library. Raises StoreError if it is invalid."""
        from tokenizers import Tokenizer as Library

        try:
            self.inner = Library.from_str(text)
        except Exception as error:  # the library raises no other class
            raise StoreError(Fault("tokenizer", f"not a tokenizer: {str(error)[:100]}")) from None
        self.inner.no_padding()
        self.inner.no_truncation()
        self.size = max(self.inner.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, including the special tokens that the tokenizer adds around a text."""
        return [encoding.ids for encoding in self.inner.encode_batch(list(texts))]

    @cached_property
    def chars(self) -> np.ndarray:
        """int64 [size]: number of characters of each token; 0 for special tokens and for continuation bytes of a
        character."""
        kind = json.loads(self.inner.to_str())
        special = {entry["id"] for entry in kind.get("added_tokens", ()) if entry.get("special")}
        counts = np.zeros(self.size, np.int64)
        level = "ByteLevel" in json.dumps([kind.get("pre_tokenizer"), kind.get("decoder")])
        for token, number in self.inner.get_vocab(with_added_tokens=True).items():
            if number not in special or token == UNKNOWN:
                counts[number] = _characters(token, level)
        return counts


def _characters(token: str, byte_level: bool) -> int:
    """Number of characters that begin in a token. In UTF-8, each byte except continuation bytes (10xxxxxx) begins
    one."""
    if token == UNKNOWN:
        return 1
    if len(token) == 6 and token.startswith("<0x"):  # a single byte
        return int(int(token[3:5], 16) & 0xC0 != 0x80)
    if byte_level:  # each letter represents one byte
        return sum(_byte_of().get(letter, 0) & 0xC0 != 0x80 for letter in token)
    return len(token.removeprefix("##"))


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """Letter -> the byte it represents in byte-level vocabularies (Radford et al. 2019, GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(rest)}


def fitted(spec: Json, rows: Callable[[], Iterable[str]], content: str, cache: Path) -> Json:
    """The `input` of a model that reads texts, with `size` and `digest` filled in; the tokenizer itself is cached.
    `rows` returns the training texts, `content` identifies them in the cache. Raises DataError or StoreError if the
    tokenizer cannot be created."""
    if spec.get("digest"):
        return spec
    kind = str(spec["tokenizer"])
    if kind in LEARNED:
        size = spec["size"] or SIZE
        key = json.dumps([VERSION, kind, *([size, content] if kind == "bpe" else [content] * (kind == "char"))])
        digest = _remembered(cache, key, lambda: _learn(kind, size, list(rows())))
    else:
        text = _from_files(Path(kind).expanduser())
        digest, kind = _keep(text, cache), "files"
    return spec | {"tokenizer": kind, "size": load(digest, cache).size, "digest": digest}


@lru_cache(maxsize=8)
def load(digest: str, cache: Path) -> Tokenizer:
    """The tokenizer with this content hash. Raises StoreError if the cache does not contain it."""
    try:
        text = _path(digest, cache).read_text(encoding="utf-8")
    except OSError:
        text = "the tokenizer of that net is no longer in the cache"
        raise StoreError(
            Fault("model.input.tokenizer", text, digest[:8], do="run the command of that run again")
        ) from None
    return Tokenizer(text)


def text_of(digest: str, cache: Path) -> bytes:
    """The JSON of a cached tokenizer, to be stored with a net that needs it. Raises StoreError if it is missing."""
    load(digest, cache)
    return _path(digest, cache).read_bytes()


def restore(text: bytes, digest: str, cache: Path) -> None:
    """Writes a stored tokenizer to the cache again, unless its content does not match `digest`."""
    if sha256(text).hexdigest()[:32] == digest and not _path(digest, cache).is_file():
        _keep(text.decode(), cache)


def _path(digest: str, cache: Path) -> Path:
    return cache / "tokenizers" / f"{digest}.json"


def _keep(text: str, cache: Path) -> str:
    digest = sha256(text.encode()).hexdigest()[:32]
    path = _path(digest, cache)
    if not path.is_file():
        put(path, lambda tmp: tmp.write_text(text, encoding="utf-8"))
    return digest


def _remembered(cache: Path, key: str, make: Callable[[], str]) -> str:
    """Digest of the tokenizer cached under `key`; the first call trains it with `make`."""
    note = cache / "tokenizers" / f"{name_of([key])}.digest"
    if note.is_file() and _path(digest := note.read_text().strip(), cache).is_file():
        return digest
    digest = _keep(make(), cache)
    put(note, lambda tmp: tmp.write_text(digest))
    return digest


def _learn(kind: str, size: int, texts: Sequence[str]) -> str:
    """JSON of a new tokenizer of a kind in LEARNED."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if kind == "char":
        letters = [UNKNOWN, *sorted(set().union(*map(set, texts)) if texts else set())]
        tokenizer = tokenizers.Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return str(tokenizer.to_str())
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "bpe")
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())


def _from_files(folder: Path) -> str:
    """JSON of a tokenizer from tokenizer.json, vocab.json with merges.txt (GPT-2), or vocab.txt (BERT)."""
    if not folder.is_dir():
        text = f"allowed {', '.join(LEARNED)} or a folder"
        raise DataError(Fault("model.input.tokenizer", text, str(folder)))
    name = next((name for name in FILES if (folder / name).is_file()), None)
    if name is None:
        raise DataError(Fault("model.input.tokenizer", f"the folder has none of {', '.join(FILES)}", str(folder)))
    if (folder / name).stat().st_size > MOST_BYTES:
        raise DataError(Fault("model.input.tokenizer", f"{name} is larger than {MOST_BYTES:,} bytes", str(folder)))
    read = {"tokenizer.json": _whole, "vocab.json": _gpt2, "vocab.txt": _bert}[name]
    try:
        return read(folder)
    except Exception as error:  # the library raises no other class
        text = f"{name} cannot be read: {str(error)[:100]}"
        raise StoreError(Fault("model.input.tokenizer", text, shlex.quote(str(folder)))) from None


def _whole(folder: Path) -> str:
    return str(Tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8")).inner.to_str())


def _gpt2(folder: Path) -> str:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    tokenizer = tokenizers.Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return str(tokenizer.to_str())


def _bert(folder: Path) -> str:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocab = {word: i for i, word in enumerate(words)}
    # a vocabulary without capital letters was trained on lower-cased texts
    lower = not any(word != word.lower() for word in words if not word.startswith("["))
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    tokenizer.add_special_tokens([word for word in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if word in vocab])
    return str(tokenizer.to_str())
