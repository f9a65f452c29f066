"""Prompts: learned tokens before every text, for a frozen net."""

from typing import Annotated, ClassVar

from transfer_cli.contracts import MethodInputs, Range
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models.peft import Kind


class Prompt(Supervised):
    """Prompts of the peft library, for nets of the transformers library that read texts. The prompt and the head are
    trained; everything else is frozen. `prompt`: embeddings, Lester et al. 2021, arXiv:2104.08691; `p_tuning`:
    embeddings computed by a small net, Liu et al. 2021, arXiv:2103.10385; `prefix`: keys and values of every layer, Li
    & Liang 2021, arXiv:2101.00190. Raises ConfigError for other nets, and if the net has too few positions."""

    extra: ClassVar[str] = "peft"

    def __init__(
        self,
        given: MethodInputs,
        *,
        kind: Kind = "prompt",
        tokens: Annotated[int, Range(1, 1024)] = 20,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__(given, blocks=0, label_smoothing=label_smoothing)
        self._train_only(given.net.graft(kind, tokens=tokens))
