"""Offline, single-threaded, with the shared data where it lies beside the project."""

import os
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["TRANSFER_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
SHARED = Path(__file__).parents[2] / "shared" / "datasets"
if SHARED.is_dir():
    os.environ.setdefault("TRANSFER_DATA", str(SHARED))
