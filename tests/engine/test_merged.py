"""Merged weights are kept from one call to the next, and never serve a model that they are not of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model

from traitscope.engine import Bank, score_options
from traitscope.records import OptionRow

ROWS = [OptionRow((7, 8, 9, 10), ((11, 12), (13,))), OptionRow((20, 21, 22), ((23,), (24, 25, 26)))]


def alone(model: torch.nn.Module) -> list[float]:
    """The summed log-likelihoods of all options by a model of PEFT's, each option in a row of its own."""
    found = []
    for row in ROWS:
        for option in row.options:
            ids = torch.tensor([[*row.context, *option]])
            logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
            places = range(len(row.context) - 1, ids.shape[1] - 1)
            found.append(float(sum(logprobs[at, ids[0, at + 1]] for at in places)))
    return found


def sums(bank: Bank, name: str) -> list[float]:
    return [float(option.sum()) for row in score_options(bank, ROWS, merge=True)[name] for option in row]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_what_was_merged_before_never_serves_another_model(name: str) -> None:
    model = tiny_model(name)
    base = known_model(tiny_model(name), TinyTokenizer(), name=name)
    adapters = random_adapters(base)
    wide, upper = adapters["wide"], adapters["upper"]
    with torch.no_grad(), Bank(base, {"one": wide}) as bank:
        for change in ("first", "again", "another", "none", "back", "in place"):
            if change in ("another", "none", "back"):
                now = {"another": upper, "none": None, "back": wide}[change]
                bank.set_slot(0, now)
            if change == "in place":
                wide.flat.mul_(-1.5)
            expected = alone(peft_of(model, bank.models[0]))
            np.testing.assert_allclose(sums(bank, "one"), expected, atol=1e-5, err_msg=change)
        # Two models in turn share one working copy.
        bank.set_slot(0, None)
    with torch.no_grad(), Bank(base, {"one": wide, "two": upper}) as bank:
        for _ in range(2):
            for model_name, adapter in (("one", wide), ("two", upper)):
                np.testing.assert_allclose(sums(bank, model_name), alone(peft_of(model, adapter)), atol=1e-5)


def test_a_model_is_merged_once_for_all_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="llama")
    merges = []
    addmm = torch.addmm

    def counted(*args, **kwargs):
        merges.append(1)
        return addmm(*args, **kwargs)

    with Bank(base, {"one": random_adapters(base)["wide"]}) as bank:
        monkeypatch.setattr(torch, "addmm", counted)
        first = sums(bank, "one")
        assert len(merges) == len(bank.layers) == 21
        assert sums(bank, "one") == first and len(merges) == 21
    assert base.linear_names and not any(hasattr(module, "merged") for module in base.model.modules())
