"""The machine's measured matrix-product rate, and what share of it a run reaches."""

from __future__ import annotations

import time

import torch

from traitscope.engine.base import Base
from traitscope.engine.products import frozen_product

# A rate measured while the processor had other work is too low; after so many measurements the share is not told.
MEASUREMENTS = 4

_Key = tuple[str, torch.dtype, int]
_peaks: dict[_Key, float] = {}
_measurements: dict[_Key, int] = {}


def matmul_peak(device: str, dtype: torch.dtype, threads: int, *, again: bool = False) -> float:
    """Floating-point operations per second of a large square product as the engine takes it; the best of five.

    Measured once per process, and ``again`` where the rate turned out to be too low: the highest found counts.
    """
    key = (device, dtype, threads)
    if key not in _peaks or again:
        _peaks[key] = max(_peaks.get(key, 0.0), _measure(device, dtype))
        _measurements[key] = _measurements.get(key, 0) + 1
    return _peaks[key]


def _measure(device: str, dtype: torch.dtype) -> float:
    size = 8192 if device.startswith("cuda") else 768
    a = torch.randn(size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(5):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        start = time.perf_counter()
        frozen_product(a, a, None)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def share_of_peak(base: Base, tokens_per_s: float, *, flops_per_parameter: int) -> float | None:
    """Share of the peak that ``tokens_per_s`` reaches, 0 to 1, counting only the frozen base's products.

    None where it passes 1 although the peak was measured several times: tokens that share their computation
    (a prefix, layers below the adapters) are counted as often as they are used.

    ``flops_per_parameter`` is 4 for training a frozen base (forward and input gradient), 2 for scoring.
    """
    key = (str(base.device), base.product_dtype or base.dtype, torch.get_num_threads())
    reached = tokens_per_s * flops_per_parameter * base.n_parameters
    peak = matmul_peak(*key)
    while reached > peak and _measurements[key] < MEASUREMENTS:
        peak = matmul_peak(*key, again=True)
    return reached / peak if reached <= peak else None
