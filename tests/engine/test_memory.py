"""Plans follow the free memory; running out of it halves the passes and changes no result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, random_adapters, tiny_model
from test_inference_exact import option_rows
from test_train_exact import three_jobs

from traitscope.engine import Bank, capture, generate, memory, plan_bank, score_options, train
from traitscope.engine.loss import LOGITS_AT_ONCE
from traitscope.errors import TraitscopeError
from traitscope.records import PromptRow


@pytest.fixture
def base():
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    base.model.generation_config.eos_token_id = None
    return base


class Scarce:
    """A backbone that runs out of memory on passes of more than ``limit`` tokens."""

    def __init__(self, backbone: torch.nn.Module, limit: int, error: Exception | None = None) -> None:
        self.forward = backbone.forward
        self.limit = limit
        self.error = error or torch.OutOfMemoryError("out of memory")
        self.refused = 0

    def __call__(self, **inputs):
        if inputs["input_ids"].shape[1] > self.limit:
            self.refused += 1
            raise self.error
        return self.forward(**inputs)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
    ],
    ids=["a GPU", "Python", "a CPU"],
)
def test_inference_goes_on_in_smaller_passes(base, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = option_rows()
    prompts = [PromptRow(row.context) for row in rows]
    with Bank(base, random_adapters(base)) as bank:
        whole = score_options(bank, rows), generate(bank, prompts, max_new_tokens=6), capture(bank, prompts)
        scarce = Scarce(base.backbone, 70, error)
        monkeypatch.setattr(base.backbone, "forward", scarce)
        cut = score_options(bank, rows), generate(bank, prompts, max_new_tokens=6), capture(bank, prompts)
    assert scarce.refused > 3
    for name in whole[0]:
        for a, b in zip(whole[0][name], cut[0][name], strict=True):
            assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-5)
        assert whole[1][name] == cut[1][name]
        assert whole[2][name] == pytest.approx(cut[2][name], abs=1e-5)


def test_a_row_that_does_not_fit_at_all_says_so(base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.backbone, "forward", Scarce(base.backbone, 10))
    with Bank(base, {"base": None}) as bank, pytest.raises(TraitscopeError, match=r"out of memory with one row"):
        score_options(bank, option_rows())


def test_training_goes_on_in_smaller_passes(base, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, tokens_per_pass=400)
    whole = train(base, jobs, plan)
    notes = []
    scarce = Scarce(base.backbone, 60)
    monkeypatch.setattr(base.backbone, "forward", scarce)
    cut = train(base, jobs, plan, on_progress=lambda progress: notes.append(progress.note))
    assert scarce.refused >= 1
    assert "passes halved to" in notes[-1]
    for name, result in whole.items():
        assert torch.allclose(result.adapter.flat, cut[name].adapter.flat, atol=2e-4)


def test_a_plan_shrinks_with_the_free_memory(base, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = three_jobs("llama")
    roomy = plan_bank(base, jobs)
    assert (roomy.slots, roomy.checkpoint_layers) == (3, False)
    longest = max(len(row.ids) for job in jobs for row in job.rows)
    fixed = LOGITS_AT_ONCE * 4 * 3
    room = roomy.bytes_per_slot * 3 + roomy.bytes_per_token * memory.CPU_TRAIN_TOKENS // 8
    monkeypatch.setattr(memory, "free_bytes", lambda device: int((fixed + room) / memory.FILL) + 1)
    assert plan_bank(base, jobs).checkpoint_layers
    tight = roomy.bytes_per_slot * 2 + roomy.bytes_per_token * longest
    monkeypatch.setattr(memory, "free_bytes", lambda device: int((fixed + tight) / memory.FILL) + 1)
    assert plan_bank(base, jobs).slots <= 3
    monkeypatch.setattr(memory, "free_bytes", lambda device: fixed)
    with pytest.raises(TraitscopeError, match=r"training does not fit: .* GiB free"):
        plan_bank(base, jobs)
