"""Products of frozen weights, by the kernel that is fastest on this processor."""

from __future__ import annotations

import torch
from torch.nn import functional as F

# With AVX-512 oneDNN's fp32 products are faster than the default's, with AVX2 slower (docs/performance.md, "Kernels").
_ONEDNN = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    else None
)


def frozen_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``F.linear`` without gradients, in fp32 through oneDNN on a CPU that has AVX-512 (5-45 % faster there).

    A weight of lower precision than ``x`` says in what the product is taken; what goes in and comes out is ``x``'s.
    """
    if weight.dtype != x.dtype:
        y = F.linear(x.to(weight.dtype), weight).to(x.dtype)
        return y if bias is None else y.add_(bias)
    if _ONEDNN is not None and x.dtype == torch.float32 and x.device.type == "cpu" and x.shape[0] >= 32:
        return _ONEDNN(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)
