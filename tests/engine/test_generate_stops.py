"""Generation ends at stop strings, end-of-sequence tokens and the cut-off, and says which."""

from __future__ import annotations

import pytest
import torch
from helpers import TinyTokenizer, known_model, random_adapters, tiny_model

from traitscope.engine import Bank, generate
from traitscope.errors import TraitscopeError
from traitscope.records import PromptRow

ROWS = [PromptRow((7, 8, 9)), PromptRow((20, 21)), PromptRow((7, 8, 9)), PromptRow((50, 51, 52, 53))]


@pytest.fixture(scope="module")
def base():
    base = known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")
    base.model.generation_config.eos_token_id = None
    return base


def test_text_is_cut_before_the_first_stop_string(base) -> None:
    models = random_adapters(base)
    with Bank(base, models) as bank:
        free = generate(bank, ROWS, max_new_tokens=12)
        stop = free["wide"][0].text[4:6]
        cut = generate(bank, ROWS, max_new_tokens=12, stop=[stop])
    got = cut["wide"][0]
    assert got.finish == "stop"
    assert got.text == free["wide"][0].text.split(stop)[0]
    assert len(got.ids) <= 6
    for name in models:
        for a, b in zip(free[name], cut[name], strict=True):
            assert b.text == a.text.split(stop)[0]
            assert b.finish == ("stop" if stop in a.text else a.finish)


def test_rows_that_occur_twice_get_the_same_answer(base) -> None:
    with Bank(base, random_adapters(base)) as bank:
        for answers in generate(bank, ROWS, max_new_tokens=5).values():
            assert answers[0] == answers[2]
            assert len(answers[0].ids) == 5 or answers[0].finish == "eos"


def test_the_position_limit_cuts_an_answer_off(base) -> None:
    limit = base.max_positions
    with Bank(base, {"base": None}) as bank:
        (answer,) = generate(bank, [PromptRow(tuple([9] * (limit - 3)))], max_new_tokens=10)["base"]
        assert answer.finish in ("length", "eos")
        assert len(answer.ids) <= 3
        with pytest.raises(TraitscopeError, match=f"a prompt of {limit} tokens leaves no room"):
            generate(bank, [PromptRow(tuple([9] * limit))], max_new_tokens=1)


def test_further_stop_tokens_end_an_answer(base) -> None:
    with Bank(base, {"base": None}) as bank:
        free = generate(bank, ROWS[:1], max_new_tokens=8)["base"][0]
        cut = generate(bank, ROWS[:1], max_new_tokens=8, stop_ids=[free.ids[3]])["base"][0]
    assert cut.finish == "eos"
    assert cut.ids == free.ids[: free.ids.index(free.ids[3])]


def test_an_empty_stop_string_is_refused(base) -> None:
    with Bank(base, {"base": None}) as bank, pytest.raises(TraitscopeError, match="empty stop string"):
        generate(bank, ROWS, max_new_tokens=2, stop=[""])
