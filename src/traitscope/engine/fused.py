"""Element-wise parts of common architectures in fewer passes over memory.

On a small model these parts cost as much as a third of the matrix products when autograd differentiates them operation
by operation. A module is replaced only where our form reproduces its own output; everything else is left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class RMSNorm(torch.autograd.Function):
    """Root-mean-square norm (Zhang & Sennrich 2019) with a frozen weight: w * x / sqrt(mean(x^2) + eps).

    In bf16 and fp16 the statistics are taken in fp32 and the normed row is rounded before the weight, as transformers
    does. Backward: dx = r (g w - n mean(g w n)) with n = x r, the normed row.
    """

    @staticmethod
    def forward(ctx, x, weight, eps, before_rounding):  # type: ignore[no-untyped-def]
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        rstd = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normed = wide * rstd
        ctx.save_for_backward(x, rstd, weight)
        if before_rounding:
            return (normed * weight).to(x.dtype)
        return normed.to(x.dtype) * weight if x.dtype != wide.dtype else normed.mul_(weight)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x, rstd, weight = ctx.saved_tensors
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        normed = wide * rstd
        grad = grad.to(wide.dtype) * weight
        dot = torch.linalg.vecdot(grad, normed).div_(x.shape[-1]).unsqueeze(-1)
        return grad.sub_(normed.mul_(dot)).mul_(rstd).to(x.dtype), None, None, None


class Rotary(torch.autograd.Function):
    """Rotary position embedding (Su et al. 2021) in the half-split form; its backward is the inverse rotation."""

    @staticmethod
    def forward(ctx, x, cos, sin):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        cos, sin = ctx.saved_tensors
        return _rotate(grad, cos, sin, -1.0), None, None


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: float) -> torch.Tensor:
    half = cos.shape[-1]
    out = torch.empty_like(x)
    low, high = x[..., :half], x[..., half : 2 * half]
    torch.mul(low, cos, out=out[..., :half]).addcmul_(high, sin, value=-sign)
    torch.mul(high, cos, out=out[..., half : 2 * half]).addcmul_(low, sin, value=sign)
    if 2 * half < x.shape[-1]:  # some architectures turn only the first dimensions of a head
        out[..., 2 * half :] = x[..., 2 * half :]
    return out


def rotary(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stands in for the ``apply_rotary_pos_emb`` of the Llama family: q, k [1, H, T, d]; cos, sin [1, T, d] or less."""
    half = cos.shape[-1] // 2
    c, s = cos[..., :half].unsqueeze(unsqueeze_dim), sin[..., :half].unsqueeze(unsqueeze_dim)
    return Rotary.apply(q, c, s), Rotary.apply(k, c, s)


def fuse_norms(model: nn.Module) -> int:
    """Replace the forward of RMS norms that our form reproduces; returns how many."""
    accepted: dict[tuple[type, float], tuple[bool, bool] | None] = {}
    count = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.ndim != 1 or eps is None:
            continue
        if "forward" in vars(module):
            # Somebody else's, such as a hook that moves weights between devices.
            continue
        key = (type(module), float(eps))
        if key not in accepted:
            accepted[key] = _norm_form(module, weight, float(eps))
        form = accepted[key]
        if form is not None:
            object.__setattr__(module, "forward", _norm_forward(module, float(eps), *form))
            object.__setattr__(module, "_traitscope_fused", True)
            count += 1
    return count


def split_norms(model: nn.Module) -> None:
    """Give norms that ``fuse_norms`` replaced their own forward again."""
    for module in model.modules():
        if vars(module).get("_traitscope_fused"):
            object.__delattr__(module, "forward")
            object.__delattr__(module, "_traitscope_fused")


def _norm_forward(module: Any, eps: float, plus_one: bool, before_rounding: bool) -> Callable[..., torch.Tensor]:
    def forward(hidden_states: torch.Tensor) -> torch.Tensor:
        if hidden_states.is_cuda and not plus_one:
            # There torch has one kernel for it, forward and backward, which rounds before the weight as well.
            return F.rms_norm(hidden_states, hidden_states.shape[-1:], None, eps) * module.weight
        weight = module.weight.float() + 1.0 if plus_one else module.weight
        return RMSNorm.apply(hidden_states, weight, eps, before_rounding)

    return forward


def _norm_form(module: nn.Module, weight: torch.Tensor, eps: float) -> tuple[bool, bool] | None:
    """(weight is 1 + w, weight applied before rounding) for which our norm equals the module's, or None."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(8, weight.shape[0], generator=generator) * 3).to(weight.device, weight.dtype)
    with torch.no_grad():
        wanted = module(x).double()
        for plus_one, before_rounding in ((False, False), (True, True)):
            got = _norm_forward(module, eps, plus_one, before_rounding)(x).double()
            # bf16: the same roundings give the same bits but for the order of a sum.
            tolerance = 1e-5 if weight.dtype == torch.float32 else 1e-2
            if got.shape == wanted.shape and bool((got - wanted).abs().max() <= tolerance * wanted.abs().max()):
                return plus_one, before_rounding
    return None


@contextmanager
def fused_rotary(module_names: tuple[str, ...]) -> Iterator[None]:
    """The models' modules of code use our rotary embedding while a pass of ours runs.

    The function is a global of transformers' modelling file; it is put back on leaving.
    """
    files = [vars(sys.modules[name]) for name in module_names]
    originals = [file["apply_rotary_pos_emb"] for file in files]
    for file in files:
        file["apply_rotary_pos_emb"] = rotary
    try:
        yield
    finally:
        for file, original in zip(files, originals, strict=True):
            file["apply_rotary_pos_emb"] = original


def rotary_modules(model: nn.Module) -> tuple[str, ...]:
    """Modelling files of ``model`` whose rotary function ours reproduces."""
    names = {type(module).__module__ for module in model.modules()}
    found = []
    for name in sorted(names):
        original = vars(sys.modules[name]).get("apply_rotary_pos_emb")
        if original is not None and _same_rotary(original):
            found.append(name)
    return tuple(found)


def _same_rotary(original: Callable[..., Any]) -> bool:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 3, 5, 8, generator=generator)
    equal = []
    for dims in (4, 2):  # whole heads, and half of each
        angle = torch.rand(1, 5, dims, generator=generator).repeat(1, 1, 2)
        ours = rotary(q, k, angle.cos(), angle.sin())
        try:
            wanted = original(q, k, angle.cos(), angle.sin())
            equal.append(all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, wanted, strict=True)))
        except Exception:
            equal.append(dims == 2)  # an architecture that always turns whole heads need not know the other case
    return all(equal)
