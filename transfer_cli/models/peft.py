"""Prompts and (IA)^3 from the `peft` library, for nets of the transformers library.

The net's tensors keep their names although the library wraps the modules, because a stage stores only the tensors it
changed. The library is imported only when such a part is added."""

import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Literal

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.extras import extra

Entry = dict[str, Any]  # {"kind", "layers": endings of layer names, and the settings of the kind}
Kind = Literal["prompt", "prefix", "p_tuning"]
PROMPTS = {"prompt": "PromptTuningConfig", "prefix": "PrefixTuningConfig", "p_tuning": "PromptEncoderConfig"}
KINDS = (*PROMPTS, "ia3")
MAX_TOKENS = 65536
WRAPPED = "net.base_model."  # prefix that the library adds to tensor names for prompts


def entry(
    backbone: Any, example: Mapping[str, Tensor], kind: str, endings: Sequence[str], settings: Mapping[str, Any]
) -> Entry:
    """Returns the description of a part for this net. Raises ConfigError if the net cannot take it."""
    net: Any = getattr(backbone, "net", None)
    if not hasattr(net, "base_model_prefix") or (kind in PROMPTS and "ids" not in example):
        kinds = "a net of the transformers library" + (" that reads texts" if kind in PROMPTS else "")
        do = "model=gpt_tiny, bert_tiny or transformers; fine_tune=lora fits any net"
        raise ConfigError(Fault("fine_tune", f"is for {kinds}", kind, do=do))
    if kind == "prefix" and "past_key_values" not in signature(net.forward).parameters:
        raise ConfigError(Fault("fine_tune", f"{net.config.model_type} takes no keys and values from outside", kind))
    if kind in PROMPTS:
        _check_positions(backbone, example["ids"].shape[1], int(settings["tokens"]))
    return {"kind": kind, "layers": list(endings), **settings}


def _check_positions(backbone: Any, length: int, tokens: int) -> None:
    """Raises ConfigError if the prompt and the longest text together need more positions than the net has."""
    if length + tokens > backbone.positions:
        text = f"the net has {backbone.positions} positions and texts take {length}"
        do = f"model.places={length + tokens}, or a shorter model.input.length"
        raise ConfigError(Fault("fine_tune.tokens", text, str(tokens), do=do))


def apply(backbone: Any, entry: Mapping[str, Any]) -> list[nn.Parameter]:
    """Adds the part of a description and returns its new parameters. Raises ConfigError if the description is damaged
    or belongs to another net."""
    kind, settings = _checked(entry)
    before = {id(p) for p in backbone.parameters()}
    peft = extra("peft", "peft", "fine_tune", kind)
    if not hasattr(getattr(backbone, "net", None), "base_model_prefix"):
        raise _damaged()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of peft about transformers
        if kind in PROMPTS:
            backbone.net = _wrapped(peft, backbone.net, kind, settings["tokens"])
        else:
            _inject(peft, backbone.net, settings["layers"])
    if not getattr(backbone, "renames", False):
        backbone.renames = True
        backbone.register_state_dict_post_hook(_shorten)
        backbone.register_load_state_dict_pre_hook(_lengthen)
    return [p for p in backbone.parameters() if id(p) not in before]


def _wrapped(peft: Any, net: Any, kind: str, tokens: int) -> Any:
    """Returns the net with prompts. The library registers the word embeddings twice; here only one registration is
    kept, so that each tensor has one name."""
    width = net.config.hidden_size if kind == "prefix" else net.get_input_embeddings().weight.shape[1]
    config = getattr(peft, PROMPTS[kind])(
        task_type="FEATURE_EXTRACTION",
        num_virtual_tokens=tokens,
        token_dim=width,
        num_layers=net.config.num_hidden_layers,
        num_attention_heads=net.config.num_attention_heads,
    )
    wrapped = peft.PeftModelForFeatureExtraction(net, config)
    embeddings = wrapped._modules.pop("word_embeddings")
    object.__setattr__(wrapped, "word_embeddings", embeddings)
    return wrapped


def _inject(peft: Any, net: Any, layers: list[str]) -> None:
    from peft.utils import constants as defaults

    kind = net.config.model_type
    endings = layers or defaults.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind)
    if not endings:
        text = f"peft has no default ia3 layers for {kind}; give the endings of layer names"
        raise ConfigError(Fault("fine_tune.layers", text, "[]"))
    feedforward = [] if layers else defaults.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[kind]
    try:
        peft.inject_adapter_in_model(peft.IA3Config(target_modules=endings, feedforward_modules=feedforward), net)
    except ValueError as error:  # no such layer, or one that it cannot scale
        raise ConfigError(Fault("fine_tune.layers", str(error).partition(". ")[0][:160], str(endings))) from None


def _shorten(backbone: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """State dict hook: writes tensors under the names they have without the library."""
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + _plain(name.removeprefix(prefix))] = state.pop(name)


def _lengthen(backbone: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load hook: restores the library's names before tensors are loaded."""
    own = [name for name, _ in (*backbone.named_parameters(), *backbone.named_buffers())]
    for name in own:
        if prefix + _plain(name) in state:
            state[prefix + name] = state.pop(prefix + _plain(name))


def _plain(name: str) -> str:
    """Returns a tensor's name as it is without the library."""
    while name.startswith(WRAPPED):
        name = "net." + name.removeprefix(WRAPPED)
    return name.replace(".base_layer.", ".")


def _checked(entry: Mapping[str, Any]) -> tuple[str, Entry]:
    """Returns the kind and the settings of an entry after checking that each has its type and is above zero."""
    keys = {"kind", "layers", "tokens"} if entry["kind"] in PROMPTS else {"kind", "layers"}
    layers, tokens = entry.get("layers"), entry.get("tokens", 1)
    valid = isinstance(layers, list) and all(isinstance(name, str) for name in layers)
    if entry.keys() != keys or not valid or type(tokens) is not int or not 0 < tokens <= MAX_TOKENS:
        raise _damaged()
    return entry["kind"], {key: entry[key] for key in keys - {"kind"}}


def _damaged() -> ConfigError:
    return ConfigError(Fault("model", "the description of the net's peft parts is damaged, or belongs to another net"))


def parameters(backbone: nn.Module, entry: Entry) -> list[nn.Parameter]:
    """Returns the parameters of a part that is already added."""
    mark = ".ia3_l." if entry["kind"] == "ia3" else ".prompt_encoder."
    return [p for name, p in backbone.named_parameters() if mark in name]


def settings_in_words(entry: Entry) -> str:
    """Returns the settings of an entry in words, as `20 tokens`."""
    return f"{entry['tokens']} tokens" if "tokens" in entry else f"layers {entry['layers'] or 'of its kind'}"
