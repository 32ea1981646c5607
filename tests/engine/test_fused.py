"""The fused element-wise parts equal transformers' own modules, forward and backward."""

from __future__ import annotations

import pytest
import torch
from helpers import known_model, tiny_model
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from traitscope.engine.fused import RMSNorm, Rotary, _norm_form, fuse_norms, rotary, rotary_modules


@pytest.mark.parametrize("before_rounding", [False, True])
def test_the_norm_has_the_gradient_of_its_formula(before_rounding: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(8, dtype=torch.float64) + 0.5
    assert torch.autograd.gradcheck(lambda t: RMSNorm.apply(t, weight, 1e-6, before_rounding), (x,))


def test_the_rotation_has_the_gradient_of_its_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 8, dtype=torch.float64, requires_grad=True)
    angle = torch.rand(1, 1, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: Rotary.apply(t, angle.cos(), angle.sin()), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [LlamaRMSNorm, Gemma2RMSNorm])
def test_norms_equal_transformers_own(kind: type, dtype: torch.dtype) -> None:
    norm = kind(16, eps=1e-5)
    torch.manual_seed(0)
    norm.weight.data.uniform_(-0.5, 0.5)
    norm = norm.to(dtype)
    form = _norm_form(norm, norm.weight, 1e-5)
    assert form == ((True, True) if kind is Gemma2RMSNorm else (False, False))
    x = torch.randn(7, 16).to(dtype)
    theirs = norm(x)
    assert fuse_norms(norm) == 1
    assert torch.allclose(norm(x).float(), theirs.float(), atol=1e-6 if dtype == torch.float32 else 1e-2)


def test_rotation_equals_transformers_own() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 4, 6, 8)
    angle = torch.rand(1, 6, 4).repeat(1, 1, 2)
    for ours, theirs in zip(
        rotary(q, k, angle.cos(), angle.sin()), apply_rotary_pos_emb(q, k, angle.cos(), angle.sin()), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_partial_rotations_are_known_too() -> None:
    """GPT-NeoX and Phi-3 turn only some of a head's dimensions; GPT-2 has no rotation."""
    for name, expected in {"gpt_neox": 1, "phi3": 1, "llama": 1, "gpt2": 0}.items():
        assert len(rotary_modules(tiny_model(name, torch.float32))) == expected


def test_transformers_function_is_back_after_a_pass() -> None:
    import transformers.models.llama.modeling_llama as modelling

    before = modelling.apply_rotary_pos_emb
    base = known_model(tiny_model("llama", torch.float32), None)
    assert base.rotary_modules
    assert modelling.apply_rotary_pos_emb is before
