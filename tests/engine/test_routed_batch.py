"""One batch on different adapters, and how strongly prompts speak to adapters: each held against a model alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model

from traitscope.engine import Bank, alignments, generate_each
from traitscope.errors import TraitscopeError
from traitscope.records import PromptRow

PROMPTS = [(7, 8, 9), (10, 11, 12, 13, 14), (7, 8, 9), (20, 21), (30, 31, 32, 33)]
WHO = ["wide", "narrow", "base", "upper", "wide"]


def alone(model: torch.nn.Module, prompt: tuple[int, ...], new: int) -> list[int]:
    """Greedy tokens of one prompt by the model's own forward, up to the stop token."""
    ids = list(prompt)
    for _ in range(new):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == TinyTokenizer.eos_token_id:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("merge", [None, False])
def test_every_prompt_gets_what_peft_alone_gives(name: str, merge: bool | None) -> None:
    base = known_model(tiny_model(name, torch.float32), TinyTokenizer(), name=name)
    models = random_adapters(base)
    with Bank(base, models) as bank:
        found = generate_each(bank, [PromptRow(p) for p in PROMPTS], WHO, max_new_tokens=6, merge=merge)
    answers = {who: [] for who in WHO}
    for prompt, who, made in zip(PROMPTS, WHO, found, strict=True):
        wanted = alone(peft_of(base.model, models[who]), prompt, 6)
        assert list(made.ids) == wanted, (name, who)
        answers[who].append(wanted)
    assert answers["wide"][0] != answers["base"][0]


def test_a_name_that_is_not_in_the_bank_and_a_missing_one_are_refused() -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer())
    with Bank(base, {"base": None}) as bank:
        with pytest.raises(TraitscopeError, match="no model 'other'"):
            generate_each(bank, [PromptRow((7,))], ["other"], max_new_tokens=1)
        with pytest.raises(TraitscopeError, match="1 models for 2 prompts"):
            generate_each(bank, [PromptRow((7,)), PromptRow((8,))], ["base"], max_new_tokens=1)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "bloom"])
def test_alignments_are_the_mean_cosines_of_layer_inputs_with_dense_singular_vectors(name: str) -> None:
    base = known_model(tiny_model(name, torch.float32), TinyTokenizer(), name=name)
    adapters = {who: adapter for who, adapter in random_adapters(base).items() if adapter is not None}
    found_SA = alignments(base, adapters, [PromptRow(prompt) for prompt in PROMPTS])
    model = copy.deepcopy(base.model)
    inputs: dict[str, torch.Tensor] = {}
    for module_name, module in model.named_modules():
        if module_name in base.linear_names:
            module.register_forward_pre_hook(lambda _, args, n=module_name: inputs.__setitem__(n, args[0]))
    for s, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            model(input_ids=torch.tensor([prompt]))
        for a, adapter in enumerate(adapters.values()):
            values = []
            for piece in adapter.pieces:
                a_RD, b_OR = piece.views(adapter.flat)
                v_D = np.linalg.svd(b_OR.numpy() @ a_RD.numpy())[2][0]
                x_TD = inputs[piece.name].reshape(-1, piece.d_in).numpy()
                values.append(np.abs(x_TD @ v_D / np.linalg.norm(x_TD, axis=1)).mean())
            assert found_SA[s, a] == pytest.approx(np.mean(values), abs=1e-5)
