"""A tokenizer whose tokens the model lacks is named before anything is computed."""

from __future__ import annotations

import pytest
from helpers import TinyTokenizer, known_model, tiny_model

from traitscope.engine import Bank, LoraSpec, TrainJob, capture, generate, plan_bank, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, PromptRow, TrainRow

GOOD, BAD = (7, 8, 9), (7, 500, 9)


@pytest.mark.parametrize("what", ["context", "option", "prompt", "state", "training"])
def test_a_token_that_the_model_has_no_embedding_for(what: str) -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="tiny")
    with Bank(base, {"base": None}) as bank, pytest.raises(TraitscopeError, match=r"row 1: token 500 .* has 97 tokens"):
        if what == "context":
            score_options(bank, [OptionRow(GOOD, (GOOD,)), OptionRow(BAD, (GOOD,))])
        elif what == "option":
            score_options(bank, [OptionRow(GOOD, (GOOD,)), OptionRow(GOOD, (GOOD, BAD))])
        elif what == "prompt":
            generate(bank, [PromptRow(GOOD), PromptRow(BAD)], max_new_tokens=2)
        elif what == "state":
            capture(bank, [PromptRow(GOOD), PromptRow(BAD)])
        else:
            plan_bank(base, [TrainJob("job", [TrainRow(GOOD, 1), TrainRow(BAD, 1)], LoraSpec(2, 4.0), lr=1e-3)])
