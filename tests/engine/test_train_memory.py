"""A step of training that runs out of memory half way starts again from nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import tiny_model
from test_train_exact import three_jobs

from traitscope.engine import plan_bank, train, wrap_model
from traitscope.errors import TraitscopeError


def refusing(forward: Callable[..., Any], calls: set[int]) -> Callable[..., Any]:
    """A backbone that runs out of memory at the given calls: the passes before have left their gradients."""
    count = 0

    def run(**inputs: Any) -> Any:
        nonlocal count
        count += 1
        if count in calls:
            raise torch.OutOfMemoryError("out of memory")
        return forward(**inputs)

    return run


def test_gradients_of_passes_before_the_failure_do_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    base = wrap_model(tiny_model("llama"), None)
    jobs = three_jobs("llama")
    plan = plan_bank(base, jobs, tokens_per_pass=90)
    undisturbed = train(base, jobs, plan)
    notes = []
    # The first step has at least two passes: the second call fails after the first has left its gradients.
    monkeypatch.setattr(base.backbone, "forward", refusing(base.backbone.forward, {2}))
    disturbed = train(base, jobs, plan, on_progress=lambda progress: notes.append(progress.note))
    assert notes[-1] == "out of memory at step 0: passes halved to 45 tokens"
    for name, result in undisturbed.items():
        torch.testing.assert_close(disturbed[name].adapter.flat, result.adapter.flat, rtol=0, atol=1e-6)
        first, other = disturbed[name].history[0], result.history[0]
        assert first.grad_norm == pytest.approx(other.grad_norm, rel=1e-6)
        assert first.loss == pytest.approx(other.loss, rel=1e-6)


def test_passes_are_halved_down_to_the_longest_row_and_then_training_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    base = wrap_model(tiny_model("llama"), None)
    jobs = three_jobs("llama")
    monkeypatch.setattr(base.backbone, "forward", refusing(base.backbone.forward, set(range(100))))
    with pytest.raises(TraitscopeError, match=r"out of memory with one row of \d+ tokens"):
        train(base, jobs, plan_bank(base, jobs, tokens_per_pass=90))
