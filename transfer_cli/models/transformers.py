"""GPT-like and BERT-like nets of the transformers library, built from a configuration or from a folder's config.json.
Only the architecture that is asked for is imported, and never code of a folder."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.kinds.texts import TokenSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.foreign import stacked
from transfer_cli.ranges import Range

MOST = {"vocab_size": 2**20, "hidden_size": 2**15, "num_hidden_layers": 512, "intermediate_size": 2**17}
DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop",
    "attention_dropout",
)  # fmt: skip
HEADS = ("lm_head.", "cls.", "classifier.", "score.", "pooler.", "qa_outputs.")  # of others' checkpoints
OLD_BUFFERS = re.compile(r"(\.attn\.(masked_)?bias|position_ids|rotary_emb\.inv_freq)$")


class Transformers(Backbone):
    """States of the last layer. `name` is an architecture in the library's words; those that predict the next token are
    causal, `masked` are some that are not. `places`: how many the net knows, if more than a text takes. `config`: the
    content of a config.json, of any such architecture, which then says all but the pooling. Padding stands right of a
    text. Raises ConfigError for what the library does not know."""

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
            raise ConfigError(Fault("model.width", f"wants a multiple of heads, {heads}", str(width)))
        if config:
            made = _of_folder(config, input)
        else:
            made = _of_settings(name, layers, heads, width, dropout, input, places or input.length)
        super().__init__(int(made.hidden_size))
        kind, self.causal = _class_of(made)
        self.positions = int(getattr(made, "max_position_embeddings", None) or input.length)
        if input.length > self.positions:
            raise ConfigError(Fault("model.input.length", f"the net knows {self.positions} places", str(input.length)))
        self.tied = bool(getattr(made, "tie_word_embeddings", False))
        self.pooled = pool
        # pooled outputs of BERT and its like would have parameters that nobody trains
        bare = {"add_pooling_layer": False} if "add_pooling_layer" in kind.__init__.__code__.co_varnames else {}
        self.net: Any = kind._from_config(made, attn_implementation="sdpa", **bare)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids [B, T] int64, mask [B, T] bool -> states [B, T, D]."""
        if self.causal:  # no token sees the padding to its right
            states: Tensor = self.net(input_ids=ids, use_cache=False).last_hidden_state
        else:
            states = self.net(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states[:, -ids.shape[1] :]  # prompts stand in front

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """states [B, T, D] -> [B, D]: the mean over the tokens, the first (CLS) or the last of them."""
        if self.pooled == "mean":
            return super().pool(states, mask)
        place = torch.zeros_like(mask[:, 0], dtype=torch.int64) if self.pooled == "first" else mask.sum(1) - 1
        return states[torch.arange(len(states), device=states.device), place]

    def blocks(self) -> list[nn.Module]:
        """Embeddings, every layer, what comes after."""
        return stacked(self.net)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Names as the bare net has them, without the architecture's prefix and buffers of older versions."""
        prefix = f"{self.net.base_model_prefix}."
        known = {name.removeprefix(prefix): x for name, x in tensors.items()}
        return {name: x for name, x in known.items() if not OLD_BUFFERS.search(name)}

    def language_head(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Weight [V, D] of the head for the next token: the checkpoint's own, or its embeddings where they are tied."""
        if not self.causal:
            return None
        own = tensors.get("lm_head.weight")
        found: Tensor | None = self.net.get_input_embeddings().weight if own is None and self.tied else own
        return found


def _known() -> Any:
    from transformers.models.auto import configuration_auto

    return vars(configuration_auto)["CONFIG_MAPPING_NAMES"]


def _of_settings(name: str, layers: int, heads: int, width: int, dropout: float, input: TokenSpec, places: int) -> Any:
    made = _config(name, {})
    made.vocab_size, made.max_position_embeddings = input.size, places
    made.hidden_size, made.num_hidden_layers, made.num_attention_heads = width, layers, heads
    for key, value in (("intermediate_size", 4 * width), ("num_key_value_heads", heads), ("head_dim", width // heads)):
        if getattr(made, key, None) is not None:
            setattr(made, key, value)
    for key in DROPOUTS:
        if hasattr(made, key):
            setattr(made, key, dropout)
    made.bos_token_id = made.eos_token_id = made.pad_token_id = None
    return made


def _of_folder(config: Mapping[str, Any], input: TokenSpec) -> Any:
    made = _config(str(config.get("model_type")), {key: value for key, value in config.items() if key != "model_type"})
    for key, most in MOST.items():
        if not 1 <= int(getattr(made, key, None) or 1) <= most:
            raise StoreError(Fault("weights", f"config.json: {key} {getattr(made, key)}, allowed 1 to {most:,}"))
    if input.size > made.vocab_size:
        text = f"knows {input.size:,} tokens, the weights {made.vocab_size:,}"
        raise StoreError(Fault("model.input.tokenizer", text, do="take the tokenizer of the weights' folder"))
    return made


def _config(name: str, values: dict[str, Any]) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if name not in _known():
        raise ConfigError(Fault("model.name", "no architecture of the transformers library", name))
    try:
        made = CONFIG_MAPPING[name](**values)
        made.hidden_size, made.num_hidden_layers, made.num_attention_heads  # noqa: B018
    except Exception as error:  # the library checks in many ways
        raise ConfigError(Fault("model.name", f"no text model: {str(error)[:120]}", name)) from None
    made.use_cache = False
    return made


def _class_of(config: Any) -> tuple[Any, bool]:
    """The bare model's class, and whether it predicts the next token."""
    from transformers.models.auto import modeling_auto as auto

    kind = auto.MODEL_MAPPING.get(type(config), None)
    names = config.model_type
    causal = names in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and names not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    masked = names in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if kind is None or not (causal or masked) or getattr(config, "is_encoder_decoder", False):
        text = "reads no plain texts; wants one like gpt2, llama, bert, distilbert"
        raise ConfigError(Fault("model.name", text, config.model_type))
    return kind, causal
