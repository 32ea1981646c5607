"""Half precision, and linear layers with a product of their own (as quantised ones have)."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, random_adapters, tiny_model
from reference import peft_alone
from test_inference_exact import option_rows, peer_scores
from test_train_exact import three_jobs

from traitscope.engine import Bank, plan_bank, score_options, train


class OwnProduct(torch.nn.Linear):
    """A linear layer whose forward is not F.linear on its weight, as in quantised models."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.double() @ self.weight.double().t()).to(x.dtype)


def with_own_products(model: torch.nn.Module) -> torch.nn.Module:
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if type(module) is torch.nn.Linear and "lm_head" not in name:
            own = OwnProduct(module.in_features, module.out_features, bias=False, dtype=module.weight.dtype)
            own.weight = module.weight
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, own)
    return model


def test_adapters_around_a_linear_with_its_own_product_train_alike() -> None:
    model = tiny_model("llama", torch.float32)
    plain = known_model(copy.deepcopy(model), None)
    own = known_model(with_own_products(model), None)
    jobs = three_jobs("llama")
    a, b = (train(base, jobs, plan_bank(base, jobs)) for base in (plain, own))
    for name in a:
        assert torch.allclose(a[name].adapter.flat, b[name].adapter.flat, atol=2e-4)
        assert [r.loss for r in a[name].history] == pytest.approx([r.loss for r in b[name].history], abs=1e-4)


def test_adapters_around_a_linear_with_its_own_product_score_alike() -> None:
    model = tiny_model("llama", torch.float32)
    rows = option_rows()
    scores = []
    for wrapped in (copy.deepcopy(model), with_own_products(model)):
        base = known_model(wrapped, TinyTokenizer(), name="llama")
        with Bank(base, random_adapters(base)) as bank:
            scores.append(score_options(bank, rows))
    for name in scores[0]:
        for a, b in zip(scores[0][name], scores[1][name], strict=True):
            assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_bf16_stays_near_peft_in_bf16(architecture: str) -> None:
    """Sums are rounded in another order: log-probabilities agree to a few hundredths, losses to one per cent."""
    model = tiny_model(architecture, torch.bfloat16)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=architecture)
    rows = option_rows(20)
    models = {name: adapter for name, adapter in random_adapters(base).items() if name != "upper"}
    for adapter in models.values():
        if adapter is not None:
            adapter.flat.mul_(0.3)
    exact = known_model(tiny_model(architecture, torch.float32), TinyTokenizer(), name=architecture)
    with Bank(base, models) as bank:
        ours = score_options(bank, rows)
    with Bank(exact, models) as bank:
        precise = score_options(bank, rows)
    for name in models:
        mine = np.concatenate([np.concatenate(row) for row in ours[name]])
        truth = np.concatenate([np.concatenate(row) for row in precise[name]])
        base_row = np.concatenate(peer_scores(model, rows[0]))
        assert np.abs(mine - truth).mean() < 0.15
        if name == "base":
            assert mine[: len(base_row)] == pytest.approx(base_row, abs=0.35)
    if architecture == "llama":
        jobs = three_jobs("llama")
        results = train(base, jobs, plan_bank(base, jobs))
        for job in jobs:
            _, losses = peft_alone(model, job)
            assert [r.loss for r in results[job.name].history] == pytest.approx(losses, rel=0.02)
            assert results[job.name].adapter.flat.dtype == torch.float32


@pytest.mark.verify
def test_bf16_on_a_cpu_rounds_the_products_only() -> None:
    """Weights in bf16, activations in fp32 between the products: nearer to fp32 than bf16 throughout."""
    from traitscope.engine import load_base

    rows = option_rows(20)
    precise, mixed = (
        load_base("embedded", dtype="fp32", device="cpu"),
        load_base("embedded", dtype="bf16", device="cpu"),
    )
    assert mixed.product_dtype == torch.bfloat16
    assert mixed.dtype == torch.float32
    scores = []
    for base in (precise, mixed):
        with Bank(base, {name: model for name, model in random_adapters(base).items() if name != "upper"}) as bank:
            scores.append(score_options(bank, rows))
    for name in scores[0]:
        a, b = (np.concatenate([np.concatenate(row) for row in one[name]]) for one in scores)
        assert 0 < np.abs(a - b).mean() < 0.05
    jobs = three_jobs("llama")
    runs = [train(base, jobs, plan_bank(base, jobs)) for base in (precise, mixed)]
    for job in jobs:
        losses = [[record.loss for record in run[job.name].history] for run in runs]
        assert losses[1] == pytest.approx(losses[0], rel=0.01)
