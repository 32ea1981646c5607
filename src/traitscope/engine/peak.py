"""The machine's measured matrix-product rate, and what share of it a run reaches."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

from traitscope.engine.base import Base


@lru_cache(maxsize=8)
def matmul_peak(device: str, dtype: torch.dtype, threads: int) -> float:
    """Floating-point operations per second of a large square product; the best of five (about 0.2 s)."""
    size = 8192 if device.startswith("cuda") else 768
    a = torch.randn(size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(5):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        start = time.perf_counter()
        torch.nn.functional.linear(a, a)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def share_of_peak(base: Base, tokens_per_s: float, *, flops_per_parameter: int) -> float:
    """Share of the peak that ``tokens_per_s`` reaches, counting only the frozen base's products.

    ``flops_per_parameter`` is 4 for training a frozen base (forward and input gradient), 2 for scoring.
    """
    peak = matmul_peak(str(base.device), base.product_dtype or base.dtype, torch.get_num_threads())
    return tokens_per_s * flops_per_parameter * base.n_parameters / peak
