"""On a CUDA device the engine is held to transformers and PEFT on a CPU."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, deep_model, tiny_model
from reference import peft_alone
from test_dropout import dropping_jobs, give_masks
from torch.nn import functional as F

from traitscope.engine import (
    Adapter,
    Bank,
    LoraSpec,
    capture,
    generate,
    load_base,
    plan_bank,
    score_options,
    train,
    wrap_model,
)
from traitscope.engine.kernels import Attention, whole_rows
from traitscope.engine.layout import CausalPack
from traitscope.engine.spans import ALL
from traitscope.records import OptionRow, PromptRow

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.cases import CASES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

# One for every way of mixing tokens that the engine knows; with the path that each takes on a CPU.
PATHS = {
    "llama": "packed", "llama:longrope": "packed", "qwen2_moe:mixed": "packed", "diffllama": "packed",
    "gemma3_text": "packed", "gpt2": "packed", "gpt_oss": "packed", "deepseek_v3": "packed", "phimoe:window": "packed",
    "mamba": "batched", "bloom": "batched", "bart": "batched", "gemma2:bf16, cap 30": "packed",
    "llama:bf16": "packed",
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_every_path_gives_what_the_model_gives_on_a_cpu(name: str) -> None:
    verdict = CASES[name].verdict("cuda")
    assert (verdict.kind, verdict.errors if verdict.kind != PATHS[name] else {}) == (PATHS[name], {}), verdict.why


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_rows_in_one_launch_attend_as_row_by_row(heads: tuple[int, int]) -> None:
    """bf16 against fp64 on a CPU, each row alone; forward and backward."""
    lengths, dim = [7, 70, 1, 33], 16
    layout = CausalPack(lengths, device=torch.device("cuda"))
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, n, sum(lengths), dim, generator=generator).bfloat16() for n in (heads[0], *heads[1:] * 2))
    weight = torch.randn(1, sum(lengths), heads[0], dim, generator=generator).bfloat16()
    how = Attention(0, 0.3, ALL, None)
    assert whole_rows(how, q.cuda(), v.cuda())
    ours = [x.cuda().requires_grad_() for x in (q, k, v)]
    out = layout.attend(how, *ours)
    (out * weight.cuda()).sum().backward()
    found = [out, *(x.grad for x in ours)]
    alone = [x.double().requires_grad_() for x in (q, k, v)]
    rows = [
        F.scaled_dot_product_attention(*(x.cpu() for x in row), is_causal=True, scale=0.3, enable_gqa=True)
        for row in zip(*(x.split(lengths, dim=2) for x in alone), strict=True)
    ]
    expected = torch.cat(rows, dim=2).transpose(1, 2)
    (expected * weight.double()).sum().backward()
    wanted = [expected, *(x.grad for x in alone)]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.detach().cpu().double(), b.detach(), rtol=0.03, atol=0.03)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_given_the_masks_training_gives_the_weights_of_peft(architecture: str, lifted_casts: None) -> None:
    model = tiny_model(architecture)
    base = wrap_model(copy.deepcopy(model).cuda(), TinyTokenizer(), name=architecture)
    jobs = dropping_jobs(architecture)
    results = train(base, jobs, plan_bank(base, jobs, slots=2, tokens_per_pass=90))
    for job in jobs:
        theirs, losses = peft_alone(model, job, give_masks(job, "cuda") if job.spec.dropout else None)
        ours = results[job.name].adapter.tensors()
        # Position tables are fp32 whatever the model is, and cos is not the same to the last bit on both devices.
        assert max(float((ours[key].cpu() - theirs[key]).abs().max()) for key in theirs) < 1e-5
        assert [record.loss for record in results[job.name].history] == pytest.approx(losses, abs=1e-7)


def test_a_deep_model_in_bf16_runs_packed() -> None:
    """SmolLM2-135M was refused here: rounding moves its own gradients by a quarter of their size."""
    assert wrap_model(deep_model().cuda(), TinyTokenizer(), name="deep").packed


def test_scores_answers_and_states_are_those_of_a_cpu() -> None:
    bases = {device: load_base("embedded", dtype="fp32", device=device) for device in ("cpu", "cuda")}
    adapters: dict[str, Adapter | None] = {"base": None}
    for seed in (1, 2):
        adapters[f"a{seed}"] = adapter = Adapter.init(bases["cpu"], LoraSpec(8, 16.0), seed)
        for piece in adapter.pieces:
            b_OR = piece.views(adapter.flat)[1]
            b_OR.copy_(torch.randn(b_OR.shape, generator=torch.Generator().manual_seed(seed)) * 0.02)
    draw = np.random.default_rng(1)
    shared = draw.integers(3, 500, 30).tolist()
    rows = [OptionRow((*shared, *draw.integers(3, 500, n).tolist()), ((5, 6), (7,))) for n in (1, 5, 40, 40, 80)]
    prompts = [PromptRow(row.context) for row in rows]
    found = {}
    for device, base in bases.items():
        with Bank(base, adapters) as bank:
            scored = [score_options(bank, rows, merge=merge) for merge in (True, False)]
            found[device] = scored, generate(bank, prompts, max_new_tokens=16), capture(bank, prompts)
    for name in adapters:
        for ours, wanted in zip(found["cuda"][0], found["cpu"][0], strict=True):
            for a, b in zip(ours[name], wanted[name], strict=True):
                np.testing.assert_allclose(np.concatenate(a), np.concatenate(b), atol=2e-4)
        assert [a.text for a in found["cuda"][1][name]] == [a.text for a in found["cpu"][1][name]]
        apart = np.linalg.norm(found["cuda"][2][name] - found["cpu"][2][name])
        assert apart < 1e-4 * np.linalg.norm(found["cpu"][2][name])
