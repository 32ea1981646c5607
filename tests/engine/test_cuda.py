"""On a CUDA device the engine is held to transformers and PEFT on a CPU."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from helpers import TinyTokenizer, tiny_model
from reference import peft_alone
from test_dropout import dropping_jobs, give_masks

from traitscope.engine import plan_bank, train, wrap_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo.cases import CASES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

# One for every way of mixing tokens that the engine knows; with the path that each takes on a CPU.
PATHS = {
    "llama": "packed", "llama:longrope": "packed", "qwen2_moe:mixed": "packed", "diffllama": "packed",
    "gemma3_text": "packed", "gpt2": "packed", "gpt_oss": "packed", "deepseek_v3": "packed", "phimoe:window": "packed",
    "mamba": "batched", "bloom": "batched", "bart": "batched", "gemma2:bf16, cap 30": "packed",
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_every_path_gives_what_the_model_gives_on_a_cpu(name: str) -> None:
    verdict = CASES[name].verdict("cuda")
    assert (verdict.kind, verdict.errors if verdict.kind != PATHS[name] else {}) == (PATHS[name], {}), verdict.why


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_given_the_masks_training_gives_the_weights_of_peft(architecture: str, lifted_casts: None) -> None:
    model = tiny_model(architecture)
    base = wrap_model(copy.deepcopy(model).cuda(), TinyTokenizer(), name=architecture)
    jobs = dropping_jobs(architecture)
    results = train(base, jobs, plan_bank(base, jobs, slots=2, tokens_per_pass=90))
    for job in jobs:
        theirs, losses = peft_alone(model, job, give_masks(job, "cuda") if job.spec.dropout else None)
        ours = results[job.name].adapter.tensors()
        assert max(float((ours[key].cpu() - theirs[key]).abs().max()) for key in theirs) < 1e-8
        assert [record.loss for record in results[job.name].history] == pytest.approx(losses, abs=1e-7)
