"""The feature cache: features of a frozen backbone are computed once per net and rows.

The key contains the backbone's tensors and the hash of the code of model and data. A net that is trained further, or
whose forward pass is edited, therefore gets another key."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer_cli.data.cache import remember
from transfer_cli.engine import inference
from transfer_cli.engine.device import identity
from transfer_cli.engine.loader import StepLoader


class FeatureCache:
    """Called with (loader, net). Returns features [N, D] fp32 and labels [N] of all rows of the loader, in order."""

    def __init__(self, folder: Path, precision: str, code: dict[str, Any]) -> None:
        self.folder, self.precision = folder, precision
        self.code = [code["versions"], code["features"]]

    def __call__(self, loader: StepLoader, net: Any) -> tuple[Tensor, Tensor]:
        device = loader.items.labels.device
        key = self._key(loader, net, device)
        features = remember(self.folder, key, lambda: inference.features(net, loader, self.precision).cpu().numpy())
        return torch.from_numpy(features).to(device), loader.items.labels

    def _key(self, loader: StepLoader, net: Any, device: torch.device) -> str:
        facts = {"rows": loader.key, "model": net.recipe, "precision": self.precision, "class": identity(device)}
        facts |= {"code": self.code} | ({"grafts": net.grafts} if net.grafts else {})
        digest = sha256(json.dumps(facts, sort_keys=True).encode())
        for name, value in sorted(net.backbone.state_dict().items()):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
