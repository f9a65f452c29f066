"""GPT-like and BERT-like networks of the transformers library, built from settings or from a folder's config.json.

Only the requested architecture is imported, and never code from a folder."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.kinds.texts import TokenSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import layer_blocks
from transfer_cli.ranges import Range

MAX_SIZES = {"vocab_size": 2**20, "hidden_size": 2**15, "num_hidden_layers": 512, "intermediate_size": 2**17}
DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop",
    "attention_dropout",
)  # fmt: skip
# prefixes of head tensors in checkpoints of other libraries
HEADS = ("lm_head.", "cls.", "classifier.", "score.", "pooler.", "qa_outputs.")
OLD_BUFFERS = re.compile(r"(\.attn\.(masked_)?bias|position_ids|rotary_emb\.inv_freq)$")


class Transformers(Backbone):
    """A text network of the transformers library; it returns the states of the last layer. `name` is an architecture in
    the library's words. Architectures that predict the next token are causal; `masked` lists some that are not.
    `places`: the number of positions of the net, if larger than the longest text. `config`: the content of a
    config.json of any such architecture, which then decides everything except the pooling. Padding is on the right of a
    text. Raises ConfigError for names and settings that the library does not accept."""

    reads = "texts"
    gives = "states"
    inner = "net"
    masked = ("bert", "distilbert", "electra")
    dropped = HEADS

    def __init__(
        self,
        input: TokenSpec,
        *,
        name: Literal["gpt2", "llama", "mistral", "qwen2", "gpt_neox", "bert", "distilbert", "electra"] = "gpt2",
        layers: Annotated[int, Range(1, 512)] = 4,
        heads: Annotated[int, Range(1, 512)] = 4,
        width: Annotated[int, Range(1, 32768)] = 128,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
        pool: Literal["mean", "first", "last"] = "mean",
        places: Annotated[int, Range(1, 1048576)] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        if width % heads and config is None:
            raise ConfigError(Fault("model.width", f"must be a multiple of heads, {heads}", str(width)))
        if config:
            settings = _of_folder(config, input)
        else:
            settings = _of_settings(name, layers, heads, width, dropout, input, places or input.length)
        super().__init__(int(settings.hidden_size))
        cls, self.causal = _class_of(settings)
        self.positions = int(getattr(settings, "max_position_embeddings", None) or input.length)
        if input.length > self.positions:
            raise ConfigError(Fault("model.input.length", f"the net has {self.positions} positions", str(input.length)))
        self.tied = bool(getattr(settings, "tie_word_embeddings", False))
        self.pooled = pool
        # The pooling layer of BERT-like networks would have parameters that are never trained.
        options = {"add_pooling_layer": False} if "add_pooling_layer" in cls.__init__.__code__.co_varnames else {}
        self.net: Any = cls._from_config(settings, attn_implementation="sdpa", **options)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids [B, T] int64, mask [B, T] bool -> states [B, T, D]."""
        if self.causal:  # no token sees the padding to its right
            states: Tensor = self.net(input_ids=ids, use_cache=False).last_hidden_state
        else:
            states = self.net(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states[:, -ids.shape[1] :]  # drops the states of prompts, which come first

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Reduces states [B, T, D] to [B, D]: the mean over the tokens, the first token (CLS) or the last token."""
        if self.pooled == "mean":
            return super().pool(states, mask)
        index = torch.zeros_like(mask[:, 0], dtype=torch.int64) if self.pooled == "first" else mask.sum(1) - 1
        return states[torch.arange(len(states), device=states.device), index]

    def blocks(self) -> list[nn.Module]:
        """Returns the embeddings, each layer, and the modules after the layers."""
        return layer_blocks(self.net)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the names of the bare net: without the architecture's prefix and without buffers of older library
        versions."""
        prefix = f"{self.net.base_model_prefix}."
        known = {name.removeprefix(prefix): x for name, x in tensors.items()}
        return {name: x for name, x in known.items() if not OLD_BUFFERS.search(name)}

    def language_head(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Returns the weight [V, D] of the next-token head: the checkpoint's own, or the embeddings if they are
        tied."""
        if not self.causal:
            return None
        stored = tensors.get("lm_head.weight")
        weight: Tensor | None = self.net.get_input_embeddings().weight if stored is None and self.tied else stored
        return weight


def _known() -> Any:
    from transformers.models.auto import configuration_auto

    return vars(configuration_auto)["CONFIG_MAPPING_NAMES"]


def _of_settings(name: str, layers: int, heads: int, width: int, dropout: float, input: TokenSpec, places: int) -> Any:
    config = _config(name, {})
    config.vocab_size, config.max_position_embeddings = input.size, places
    config.hidden_size, config.num_hidden_layers, config.num_attention_heads = width, layers, heads
    for key, value in (("intermediate_size", 4 * width), ("num_key_value_heads", heads), ("head_dim", width // heads)):
        if getattr(config, key, None) is not None:
            setattr(config, key, value)
    for key in DROPOUTS:
        if hasattr(config, key):
            setattr(config, key, dropout)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    return config


def _of_folder(config: Mapping[str, Any], input: TokenSpec) -> Any:
    settings = _config(
        str(config.get("model_type")), {key: value for key, value in config.items() if key != "model_type"}
    )
    for key, largest in MAX_SIZES.items():
        if not 1 <= int(getattr(settings, key, None) or 1) <= largest:
            raise StoreError(Fault("weights", f"config.json: {key} {getattr(settings, key)}, allowed 1 to {largest:,}"))
    if input.size > settings.vocab_size:
        text = f"has {input.size:,} tokens, the weights have {settings.vocab_size:,}"
        raise StoreError(Fault("model.input.tokenizer", text, do="take the tokenizer of the weights' folder"))
    return settings


def _config(name: str, values: dict[str, Any]) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if name not in _known():
        raise ConfigError(Fault("model.name", "no architecture of the transformers library", name))
    try:
        config = CONFIG_MAPPING[name](**values)
        config.hidden_size, config.num_hidden_layers, config.num_attention_heads  # noqa: B018
    except Exception as error:  # the library raises many types of errors
        raise ConfigError(Fault("model.name", f"no text model: {str(error)[:120]}", name)) from None
    config.use_cache = False
    return config


def _class_of(config: Any) -> tuple[Any, bool]:
    """Returns the class of the bare model, and whether it predicts the next token."""
    from transformers.models.auto import modeling_auto as auto

    cls = auto.MODEL_MAPPING.get(type(config), None)
    names = config.model_type
    causal = names in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and names not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    masked = names in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if cls is None or not (causal or masked) or getattr(config, "is_encoder_decoder", False):
        text = "does not read plain texts; use one like gpt2, llama, bert, distilbert"
        raise ConfigError(Fault("model.name", text, config.model_type))
    return cls, causal
