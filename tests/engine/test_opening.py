"""An answer that begins with its opening is counted, stopped and read behind it."""

from __future__ import annotations

import pytest
import torch
from helpers import TinyTokenizer, random_adapters, tiny_model

from traitscope.engine import Bank, generate, wrap_model
from traitscope.records import Generated, PromptRow

PROMPTS = [PromptRow((7, 8, 9, 10)), PromptRow((20, 21, 22)), PromptRow((30, 31, 32, 33, 34))]
NEW = 8


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_an_opening_is_no_part_of_the_answer(name: str) -> None:
    """Held to the same answers without an opening; bloom runs padded, by the model's own ``generate``."""
    model = tiny_model(name)
    base = wrap_model(model, TinyTokenizer(), name=name)
    adapter = random_adapters(base)["wide"]

    def answers(**options: object) -> list[Generated]:
        with torch.no_grad(), Bank(base, {"one": adapter}) as bank:
            return generate(bank, PROMPTS, **options)["one"]  # type: ignore[arg-type]

    plain = answers(max_new_tokens=NEW)
    first = list(plain[0].ids)
    assert len(first) == NEW and all(list(other.ids)[:2] != first[:2] for other in plain[1:])
    opened = answers(max_new_tokens=NEW - 2, opening=first[:2])
    assert list(opened[0].ids) == first[2:] and opened[0].finish == "length"
    assert opened[0].text == TinyTokenizer().decode(first[2:])
    for mine, theirs in zip(opened[1:], plain[1:], strict=True):
        assert list(mine.ids) == list(theirs.ids)[: NEW - 2]
    # A stop string inside the opening does not stop; behind it, it does.
    letters = TinyTokenizer().decode(first)
    assert answers(max_new_tokens=NEW, stop=[letters[0]])[0].text == ""
    assert (
        answers(max_new_tokens=NEW - 2, stop=[letters[0]], opening=first[:2])[0].text
        == letters[2:].split(letters[0])[0]
    )
    last = letters[2:][-1]
    stopped = answers(max_new_tokens=NEW - 2, stop=[last], opening=first[:2])[0]
    assert (stopped.text, stopped.finish) == (letters[2:].split(last)[0], "stop")
