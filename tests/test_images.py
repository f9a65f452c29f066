"""Pictures in memory: gathering, normalisation, memory layout, placement, and reported memory."""

import resource
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from transfer_cli.data.placement import placed
from transfer_cli.engine.device import peak_bytes
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.kinds.pictures import PictureRows

CPU = torch.device("cpu")
SPEC = {"mean": [0.2, 0.5, 0.7], "std": [0.1, 0.2, 0.4]}
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 6), dtype=np.uint8)
ROWS = SimpleNamespace(index=np.array([7, 3, 3, 11]), labels=np.array([0, 1, 1, 2]))


def images(policy="none", channels_last=False):
    model = {"input": SPEC, "channels_last": channels_last}
    return PictureRows(placed(PIXELS, CPU), ROWS, model, policy=policy, flip=True, device=CPU)


@pytest.mark.parametrize("channels_last", [False, True])
def test_rows_of_the_view_are_normalised_for_the_model(channels_last):
    found = images(channels_last=channels_last).gather(torch.tensor([3, 0]), "train", None)[0]["pixels"]
    mean, std = (np.array(SPEC[name]).reshape(1, 3, 1, 1) for name in ("mean", "std"))
    np.testing.assert_allclose(found, (PIXELS[[11, 7]] / 255 - mean) / std, rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_stored_pixels_never_change():
    before = PIXELS.copy()
    loader = StepLoader(images("strong"), Address(0, "fine_tune", "target"), batch=4)
    assert not torch.equal(loader[0].inputs["pixels"], loader[1].inputs["pixels"])
    np.testing.assert_array_equal(PIXELS, before)


def test_the_data_sets_own_augmentation_is_the_policy_train_only():
    loader = StepLoader(images("weak"), Address(0, "fine_tune", "target"), batch=4, views=("train", "weak", "none"))
    own, weak, none = (view["pixels"] for view in loader[0].views)
    plain = images().gather(loader[0].index, "none", None)[0]["pixels"]
    assert torch.equal(none, plain)
    assert not torch.equal(own, plain)
    assert not torch.equal(own, weak)  # each view has its own random numbers


def test_pictures_too_large_for_a_gpu_stay_in_host_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * PIXELS.nbytes - 1, 10**9))
    kept = placed(PIXELS, torch.device("cuda"))
    assert kept.device == CPU
    assert kept.data_ptr() == PIXELS.ctypes.data


def test_peak_memory_is_that_of_this_process(monkeypatch):
    """getrusage returns the peak of the parent process if that was larger."""
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=10**12))
    block = np.ones(20_000_000)
    assert block.nbytes < peak_bytes(CPU) < 10**12
