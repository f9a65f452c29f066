"""Downloads repositories of the Hugging Face hub with its own library, into the cache of that library.
Configurations, tokenizers and safetensors only: no code, no pickles."""

from pathlib import Path

from transfer_cli.data.fetch.download import Talk, forbidden
from transfer_cli.errors import DataError, Fault

FILES: tuple[str, ...] = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
FILES += ("special_tokens_map.json", "vocab.json", "vocab.txt", "merges.txt")


def bring(repository: str, *, offline: bool = False, talk: Talk = lambda text: None) -> Path:
    """The folder of a repository, downloaded if necessary. Raises DataError if the network is off or the download
    fails."""
    word = f"hf:{repository}"
    if forbidden(offline):
        raise DataError(Fault("fetch", "the network is off (--offline or TRANSFER_OFFLINE)", word))
    from huggingface_hub import snapshot_download

    talk(f"fetching {word} from the Hugging Face hub; its page states its licence")
    try:
        return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except Exception as error:  # the library and its dependencies raise many classes for failed downloads
        why = " ".join(str(error).split())[:160]
        raise DataError(Fault("fetch", f"cannot be fetched: {why}", word, do="weights=FOLDER takes a copy")) from None
