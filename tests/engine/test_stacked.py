"""Adapters side by side in one product, as on a GPU: the weights, gradients and answers are PEFT's all the same."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model
from reference import peft_alone
from test_dropout import dropping_jobs, give_masks
from test_train_exact import three_jobs

from traitscope.engine import Bank, lowrank, plan_bank, score_options, train
from traitscope.engine.linear import BankLinear
from traitscope.engine.lowrank import Stack, side_by_side
from traitscope.records import OptionRow


@pytest.fixture(params=[256, pytest.param(12, marks=pytest.mark.verify)], ids=["all in one", "in groups"])
def stacks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A CPU that does what a GPU does; how many adapters each stack held."""
    made: list[int] = []

    def updates(layer: BankLinear, n_tokens: int, device: torch.device) -> list:
        found = side_by_side(layer.active(n_tokens), layer.runtime.others, device)
        made.extend(len(update.parts) for update in found if isinstance(update, Stack))
        return found

    monkeypatch.setattr(lowrank, "STACKED_RANKS", request.param)
    monkeypatch.setattr(BankLinear, "updates", updates)
    return made


def weights_apart(architecture: str, jobs: list, masks: bool = False) -> float:
    model = tiny_model(architecture)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=architecture)
    # The proof finds a wrong product out and takes a path without any: then nothing below would be tried.
    assert base.packed if architecture != "bloom" else base.paths.batched
    results = train(base, jobs, plan_bank(base, jobs, tokens_per_pass=150))
    worst = 0.0
    for job in jobs:
        theirs, losses = peft_alone(model, job, give_masks(job) if masks and job.spec.dropout else None)
        ours = results[job.name].adapter.tensors()
        worst = max(worst, *(float((ours[key] - theirs[key]).abs().max()) for key in theirs))
        assert [record.loss for record in results[job.name].history] == pytest.approx(losses, abs=1e-7)
    return worst


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_training_side_by_side_gives_the_weights_of_peft(architecture: str, stacks: list[int], lifted_casts) -> None:
    jobs = [replace(job, max_steps=5) for job in three_jobs(architecture)]
    assert len({job.spec.rank for job in jobs}) > 1
    assert weights_apart(architecture, jobs) < 1e-8
    # Of equal rank and scale, which take another way.
    same = [
        replace(job, spec=replace(job.spec, rank=4, alpha=6.0, rank_pattern=(), alpha_pattern=()), name=f"{job.name} 4")
        for job in jobs
    ]
    assert weights_apart(architecture, same) < 1e-8
    assert len(stacks) > 50


def test_adapters_with_dropout_stay_alone(stacks: list[int], lifted_casts) -> None:
    assert weights_apart("llama", dropping_jobs("llama"), masks=True) < 1e-8


def test_scores_side_by_side_are_those_of_peft(stacks: list[int]) -> None:
    model = tiny_model("llama")
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="llama")
    assert base.packed
    stacks.clear()
    adapters = random_adapters(base)
    rows = [OptionRow((7, 8, 9, 10), ((11, 12), (13,))), OptionRow((20, 21, 22), ((23,), (24, 25, 26)))]
    with torch.no_grad(), Bank(base, {"base": None, **adapters}) as bank:
        found = score_options(bank, rows, merge=False)
        for name, adapter in adapters.items():
            peer = peft_of(model, adapter)
            for row, options in zip(rows, found[name], strict=True):
                for option, ours in zip(row.options, options, strict=True):
                    ids = torch.tensor([[*row.context, *option]])
                    logprobs = peer(input_ids=ids).logits[0].log_softmax(-1)
                    places = range(len(row.context) - 1, ids.shape[1] - 1)
                    theirs = [float(logprobs[at, ids[0, at + 1]]) for at in places]
                    np.testing.assert_allclose(ours, theirs, atol=1e-8)
    assert stacks
