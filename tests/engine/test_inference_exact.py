"""Log-likelihoods, generations and hidden states equal those of PEFT running each adapter alone, row by row."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers import CONFIGS, TinyTokenizer, known_model, peft_of, random_adapters, tiny_model

from traitscope.engine import Bank, Gated, capture, generate, generate_and_score, generate_each, score_options
from traitscope.records import OptionRow, PromptRow

NAMES = list(CONFIGS)


def ids(generator: torch.Generator, n: int) -> tuple[int, ...]:
    return tuple(torch.randint(6, 97, (n,), generator=generator).tolist())


def option_rows(shared: int = 0, n: int = 9) -> list[OptionRow]:
    """Rows of different length with options that share beginnings, one-token options and a repeated row."""
    generator = torch.Generator().manual_seed(7)
    prefix = ids(generator, shared)
    rows = []
    for number in range(n):
        context = prefix + ids(generator, 3 + 2 * number)
        stem = ids(generator, 2)
        options = [
            stem + ids(generator, 1),
            (*stem, *ids(generator, 3)),
            ids(generator, 1),
            ids(generator, 4),
        ]
        rows.append(OptionRow(context, (*options, (*options[0], 5))))
    return [*rows, rows[2]]


def peer_scores(model, row: OptionRow) -> list[np.ndarray]:
    out = []
    for option in row.options:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.context + option])).logits[0, :-1].double()
        logprobs = logits.log_softmax(-1)[len(row.context) - 1 :]
        out.append(logprobs[torch.arange(len(option)), torch.tensor(option)].numpy())
    return out


@pytest.fixture(scope="module", params=NAMES)
def setup(request: pytest.FixtureRequest):
    model = tiny_model(request.param, torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=request.param)
    base.model.generation_config.eos_token_id = None
    models = random_adapters(base)
    return base, models, {name: peft_of(model, adapter) for name, adapter in models.items()}


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("shared", [0, 20])
def test_log_likelihoods_equal_peft(setup, merge: bool, shared: int) -> None:
    base, models, peers = setup
    rows = option_rows(shared)
    with Bank(base, models) as bank:
        ours = score_options(bank, rows, tokens_per_pass=200, merge=merge)
    for name, peer in peers.items():
        for row, got in zip(rows, ours[name], strict=True):
            for mine, theirs in zip(got, peer_scores(peer, row), strict=True):
                assert mine == pytest.approx(theirs, abs=1e-4)
    first = [np.concatenate(ours[name][0]) for name in models]
    for i, one in enumerate(first):
        assert all(np.abs(one - other).max() > 1e-2 for other in first[:i]), "models must differ"


def peer_answer(peer, row: PromptRow) -> tuple[list[int], str]:
    with torch.no_grad():
        whole = peer.generate(
            input_ids=torch.tensor([row.context]), max_new_tokens=10, do_sample=False, eos_token_id=5,
            pad_token_id=0, attention_mask=torch.ones(1, len(row.context), dtype=torch.long),
        )[0].tolist()  # fmt: skip
    theirs = whole[len(row.context) :]
    return (theirs[:-1], "eos") if theirs[-1] == 5 else (theirs, "length")


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("shared", [0, 20])
def test_greedy_generations_equal_peft(setup, merge: bool, shared: int) -> None:
    base, models, peers = setup
    generator = torch.Generator().manual_seed(3)
    prefix = ids(generator, shared)
    rows = [PromptRow(prefix + ids(generator, n)) for n in (3, 9, 5, 5, 14, 2)]
    with Bank(base, models) as bank:
        ours = generate(bank, rows, max_new_tokens=10, tokens_per_pass=60, merge=merge)
    for name, peer in peers.items():
        for row, got in zip(rows, ours[name], strict=True):
            assert (list(got.ids), got.finish) == peer_answer(peer, row)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("shared", [0, 20])
def test_prompts_of_several_models_in_one_call_equal_peft(setup, merge: bool, shared: int) -> None:
    base, models, peers = setup
    generator = torch.Generator().manual_seed(4)
    prefix = ids(generator, shared)
    rows = [PromptRow(prefix + ids(generator, n)) for n in (3, 9, 5, 5, 14, 2, 7)]
    rows.append(rows[0])
    # Not every model is asked, one prompt twice under two of them.
    asked = [list(models)[i % (len(models) - 1)] for i in range(len(rows))]
    asked[-1] = list(models)[1]
    assert asked[0] != asked[-1]
    with Bank(base, models) as bank:
        ours = generate_each(bank, rows, asked, max_new_tokens=10, tokens_per_pass=60, merge=merge)
    for row, name, got in zip(rows, asked, ours, strict=True):
        assert (list(got.ids), got.finish) == peer_answer(peers[name], row)


@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("merge", [True, False])
def test_a_reference_as_draft_changes_neither_answer_nor_score(setup, merge: bool, shared: int) -> None:
    base, models, _ = setup
    generator = torch.Generator().manual_seed(5)
    prefix = ids(generator, shared)
    rows = [PromptRow(prefix + ids(generator, n)) for n in (3, 9, 5, 14, 2)]
    with Bank(base, models) as bank:
        answers = generate(bank, rows, max_new_tokens=8)
        # What the first model says, in full, up to a wrong token, and nothing of it.
        said = next(iter(answers.values()))
        references = [
            (*said[0].ids, 5),
            (*said[1].ids[:3], 90, 91, 92),
            (93, 94),
            said[3].ids[:4],
            (*said[4].ids, *ids(generator, 9)),
        ]
        referenced = [OptionRow(row.context, (ref,)) for row, ref in zip(rows, references, strict=True)]
        made, scored = generate_and_score(bank, referenced, max_new_tokens=8, tokens_per_pass=50, merge=merge)
        alone = score_options(bank, referenced)
    for name in models:
        assert made[name] == answers[name]
        for mine, theirs in zip(scored[name], alone[name], strict=True):
            assert mine[0] == pytest.approx(theirs[0], abs=1e-5)


@pytest.mark.parametrize("shared", [0, 20])
@pytest.mark.parametrize("merge", [True, False])
def test_hidden_states_equal_peft(setup, merge: bool, shared: int) -> None:
    base, models, peers = setup
    generator = torch.Generator().manual_seed(4)
    prefix = ids(generator, shared)
    rows = [PromptRow(prefix + ids(generator, n)) for n in (3, 9, 5, 14)]
    with Bank(base, models) as bank:
        last = capture(bank, rows, normed=True, tokens_per_pass=40, merge=merge)
        mean = capture(bank, rows, position="mean", merge=merge)
    for name, peer in peers.items():
        for number, row in enumerate(rows):
            with torch.no_grad():
                states = peer(input_ids=torch.tensor([row.context]), output_hidden_states=True).hidden_states
            # transformers gives the last layer after the final norm; the layers below it before.
            for layer in range(base.n_layers):
                assert last[name][layer, number] == pytest.approx(states[layer][0, -1].numpy(), abs=1e-5, rel=1e-5)
                assert mean[name][layer, number] == pytest.approx(states[layer][0].mean(0).numpy(), abs=1e-5, rel=1e-5)
            assert last[name][-1, number] == pytest.approx(states[-1][0, -1].numpy(), abs=2e-5, rel=1e-5)


def test_a_slot_does_not_depend_on_its_neighbours_or_the_pass(setup) -> None:
    base, models, _ = setup
    rows = option_rows()
    with Bank(base, models) as bank:
        together = score_options(bank, rows, merge=False)["narrow"]
    with Bank(base, {"narrow": models["narrow"]}) as bank:
        alone = score_options(bank, rows[::-1], merge=False, tokens_per_pass=50, share_prefix=False)["narrow"][::-1]
    for a, b in zip(together, alone, strict=True):
        assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-5, rel=1e-5)


def test_a_gate_over_all_layers_is_the_adapter_and_over_none_the_base(setup) -> None:
    base, models, _ = setup
    wide = models["wide"]
    gated = {
        "all": Gated(wide, on=(0, 2)), "wide": wide, "none": Gated(wide, off=(0, 2)), "base": None,
        "low": Gated(wide, on=(0, 0)), "not high": Gated(wide, off=(1, 2)),
    }  # fmt: skip
    for merge in (True, False):
        with Bank(base, gated) as bank:
            scores = score_options(bank, option_rows(), merge=merge)
        flat = {name: np.concatenate([np.concatenate(row) for row in rows]) for name, rows in scores.items()}
        assert flat["all"] == pytest.approx(flat["wide"], abs=1e-6)
        assert flat["none"] == pytest.approx(flat["base"], abs=1e-6)
        assert flat["low"] == pytest.approx(flat["not high"], abs=1e-6)
        assert np.abs(flat["low"] - flat["wide"]).max() > 1e-2


def test_closing_a_bank_gives_the_base_back(setup) -> None:
    base, models, peers = setup
    row = torch.arange(6, 20)[None]
    with Bank(base, models):
        pass
    with torch.no_grad():
        assert torch.allclose(base.model(input_ids=row).logits, peers["base"](input_ids=row).logits, atol=1e-5)
