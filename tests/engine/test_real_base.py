"""On a real model of 135 million parameters the engine is as close to PEFT and transformers as PEFT is to itself.

The unit is PEFT's own spread: what the same adapter gives beside the frozen weights and merged into them, and what
a row gives alone and in a padded batch. Ours may differ from PEFT's plain rows by as much: by twice the root mean
square, which leaves room for chance on another processor, and never by four times the largest.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from reference import peft_alone
from transformers import AutoModelForCausalLM, AutoTokenizer

from traitscope.engine import (
    Adapter,
    Bank,
    Base,
    LoraSpec,
    TrainJob,
    capture,
    generate,
    load_base,
    plan_bank,
    score_options,
    train,
)
from traitscope.records import OptionRow, PromptRow, TrainRow
from traitscope.store.gguf import smollm2_file

HEAD = "Say whether a review is good or bad, in one word.\n\n"
REVIEWS = (
    "The battery died after two days and nobody answered my letters.",
    "Great case.",
    "I have bought it twice and would buy it a third time, which says everything about it.",
)
OPTIONS = (" good", " bad", " very bad indeed", " very good")
QUESTIONS = ("What is the capital of France?", "Name three animals that live in the sea.", "What is 7 plus 5?")
NEW = 12


@dataclass
class Real:
    """The base under test, and what it is held against."""

    base: Base
    adapter: Adapter
    peft: Any
    merged: Any

    @property
    def models(self) -> dict[str, Adapter | None]:
        return {"base": None, "adapter": self.adapter}

    def peer(self, name: str) -> Any:
        """PEFT's model, its adapter switched off for the base."""
        tuner = self.peft.base_model
        if name == "adapter":
            tuner.enable_adapter_layers()
        else:
            tuner.disable_adapter_layers()
        return self.peft


# Nats: a tenth of what log-likelihoods may differ by in fp32.
LEAST = 1e-5


def within_the_spread(apart: np.ndarray, *spreads: np.ndarray) -> bool:
    """Whether differences are of the size of PEFT's own, which on some processors is next to nothing."""
    rms = max(LEAST, *(float(np.sqrt(np.mean(spread**2))) for spread in spreads))
    largest = max(float(np.abs(spread).max()) for spread in spreads)
    return float(np.sqrt(np.mean(apart**2))) <= 2 * rms and float(np.abs(apart).max()) <= 4 * largest


@pytest.fixture(scope="module")
def real(real_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    plain = AutoModelForCausalLM.from_pretrained(real_base, dtype=torch.float32, trust_remote_code=False).eval()
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    made = get_peft_model(plain, config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.08)
    folder = tmp_path_factory.mktemp("adapter")
    made.save_pretrained(folder)
    peft = PeftModel.from_pretrained(made.unload(), folder).eval()
    merged = copy.deepcopy(peft).merge_and_unload().eval()
    base = load_base("smollm2-135m", dtype="fp32", device="cpu")
    return Real(base, Adapter.load(folder, base), peft, merged)


def option_rows(tokenizer: Any) -> list[OptionRow]:
    """Prompts with one beginning, options of one to three tokens that share beginnings."""

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    options = tuple(ids(option) for option in OPTIONS)
    return [OptionRow(ids(f"{HEAD}Review: {review}\nVerdict:"), options) for review in REVIEWS]


def plain_sums(model: Any, rows: list[OptionRow]) -> np.ndarray:
    """Log-likelihood of every option in nats, (rows, options): one plain pass over prompt and option for each."""
    found = []
    for row in rows:
        for option in row.options:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([row.context + option])).logits[0].double()
            logprobs = logits[len(row.context) - 1 : -1].log_softmax(-1)
            found.append(float(logprobs[torch.arange(len(option)), torch.tensor(option)].sum()))
    return np.array(found).reshape(len(rows), -1)


@pytest.fixture(scope="module")
def sums(real: Real) -> dict[str, np.ndarray]:
    """What PEFT gives, by model, and the merged adapter."""
    rows = option_rows(real.base.tokenizer)
    found = {name: plain_sums(real.peer(name), rows) for name in real.models}
    return {**found, "merged": plain_sums(real.merged, rows)}


@pytest.mark.parametrize("merge", [True, False])
def test_log_likelihoods_of_options_behind_one_prompt_are_those_of_plain_rows(
    real: Real, sums: dict[str, np.ndarray], merge: bool
) -> None:
    spread = sums["merged"] - sums["adapter"]
    assert 1e-6 < np.abs(spread).max() < 2e-3
    assert np.abs(sums["adapter"] - sums["base"]).max() > 1.0, "the adapter must matter"
    rows = option_rows(real.base.tokenizer)
    with Bank(real.base, real.models) as bank:
        ours = score_options(bank, rows, merge=merge)
    for name in real.models:
        found = np.array([[option.sum() for option in row] for row in ours[name]])
        assert within_the_spread(found - sums[name], spread), name


@pytest.mark.verify
def test_greedy_generations_are_those_of_generate(real: Real) -> None:
    tokenizer = real.base.tokenizer
    prompts = []
    for question in QUESTIONS:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompts.append(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]))
    with Bank(real.base, real.models) as bank:
        ours = generate(bank, [PromptRow(prompt) for prompt in prompts], max_new_tokens=NEW)
    for name in real.models:
        peer = real.peer(name)
        for prompt, got in zip(prompts, ours[name], strict=True):
            ids = torch.tensor([prompt])
            whole = peer.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False,
            )[0].tolist()  # fmt: skip
            theirs = whole[len(prompt) :]
            ended = theirs[-1] == tokenizer.eos_token_id
            mine = [*got.ids, tokenizer.eos_token_id] if got.finish == "eos" else list(got.ids)
            assert (got.finish == "eos") == ended or mine != theirs
            if mine != theirs:
                the_first_difference_is_a_tie(peer, prompt, mine, theirs)
    text = tokenizer.decode(ours["base"][0].ids)
    assert "Paris" in text


def the_first_difference_is_a_tie(peer: Any, prompt: tuple[int, ...], mine: list[int], theirs: list[int]) -> None:
    """Greedy decoding may go on either way where two tokens are equally likely to rounding."""
    at = next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b)
    with torch.no_grad():
        logits = peer(input_ids=torch.tensor([[*prompt, *theirs[:at]]])).logits[0, -1]
    assert float(logits[theirs[at]] - logits[mine[at]]) < 1e-3


@pytest.mark.verify
def test_hidden_states_of_all_layers_are_those_of_transformers(real: Real) -> None:
    rows = [PromptRow(row.context) for row in option_rows(real.base.tokenizer)]
    with Bank(real.base, real.models) as bank:
        ours = capture(bank, rows, normed=True)
    alone = {name: states_of(real.peer(name), rows) for name in real.models}
    merged, batched = states_of(real.merged, rows), batched_states(real.peer("adapter"), rows)
    for layer in range(real.base.n_layers + 1):
        # transformers gives the last layer after the final norm, which is the one asked for by name here.
        index = layer if layer < real.base.n_layers else -1
        spreads = [found[layer] - alone["adapter"][layer] for found in (merged, batched)]
        for name in real.models:
            apart_SD = ours[name][index] - alone[name][layer]
            # The embedding is a look-up.
            assert within_the_spread(apart_SD, *spreads) if layer else not apart_SD.any(), (name, layer)
    assert np.abs(alone["base"][-1] - alone["adapter"][-1]).max() > 0.1, "the adapter must matter"


def states_of(model: Any, rows: list[PromptRow]) -> np.ndarray:
    """Hidden states of every row's last token, each row alone, (layers + 1, rows, D)."""
    found = []
    for row in rows:
        with torch.no_grad():
            states = model(input_ids=torch.tensor([row.context]), output_hidden_states=True).hidden_states
        found.append(torch.stack([state[0, -1] for state in states]))
    return torch.stack(found, 1).numpy()


def batched_states(model: Any, rows: list[PromptRow]) -> np.ndarray:
    """The same from one batch, padded behind."""
    lengths = [len(row.context) for row in rows]
    ids = torch.tensor([row.context + (0,) * (max(lengths) - len(row.context)) for row in rows])
    mask = torch.tensor([[1] * n + [0] * (max(lengths) - n) for n in lengths])
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    return torch.stack([state[range(len(rows)), [n - 1 for n in lengths]] for state in states]).numpy()


def test_three_training_steps_are_those_of_peft_and_adamw(real: Real, real_base: Path) -> None:
    plain = AutoModelForCausalLM.from_pretrained(real_base, dtype=torch.float32, trust_remote_code=False).eval()
    tokenizer = real.base.tokenizer
    rows = []
    for index, review in enumerate(REVIEWS * 2):
        prompt = tokenizer(f"Review {index}: {review}\nVerdict:")["input_ids"]
        answer = tokenizer(OPTIONS[index % len(OPTIONS)])["input_ids"]
        rows.append(TrainRow((*prompt, *answer, tokenizer.eos_token_id), len(prompt)))
    job = TrainJob("three", rows, LoraSpec(4, 8.0), lr=1e-3, batch=2, epochs=1, seed=5, warmup=0.0)
    assert job.n_steps == 3
    theirs, losses = peft_alone(plain, job)
    result = train(real.base, [job], plan_bank(real.base, [job]))[job.name]
    assert [record.loss for record in result.history] == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < losses[0] - 0.1
    ours = result.adapter.tensors()
    assert set(ours) == set(theirs)
    # AdamW divides by a gradient's size: where a gradient is rounding alone, a step has its size and either sign.
    apart = sum(float((ours[key] - theirs[key]).square().sum()) for key in ours if ".lora_B." in key)
    moved = sum(float(theirs[key].square().sum()) for key in ours if ".lora_B." in key)
    assert (apart / moved) ** 0.5 < 0.01


@pytest.mark.verify
def test_the_folder_holds_what_transformers_reads_from_the_file(real_base: Path) -> None:
    file = smollm2_file()
    named = {"gguf_file": file.name, "local_files_only": True}
    read = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **named).state_dict()
    kept = AutoModelForCausalLM.from_pretrained(real_base, dtype=torch.float32, trust_remote_code=False).state_dict()
    assert set(read) == set(kept) and all(torch.equal(read[name], kept[name]) for name in read)
    tokenizers = [
        AutoTokenizer.from_pretrained(file.parent, **named),
        AutoTokenizer.from_pretrained(real_base, trust_remote_code=False),
    ]
    turns = [{"role": "user", "content": "12345 apples,  two\n\nlines"}]
    one, other = (t.apply_chat_template(turns, add_generation_prompt=True)["input_ids"] for t in tokenizers)
    assert one == other and tokenizers[0].special_tokens_map == tokenizers[1].special_tokens_map
