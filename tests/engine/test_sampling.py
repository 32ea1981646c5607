"""Drawn answers: exact in distribution, the same whatever the batch, and greedy where the temperature goes to zero."""

from __future__ import annotations

import copy
import hashlib
import importlib

import numpy as np
import pytest
import torch
from helpers import CONFIGS, TinyTokenizer, known_model, peft_of, random_adapters, tiny_model
from scipy import stats

from traitscope.engine import Bank, Sampling, generate, sample, sample_and_score, score_options
from traitscope.engine.sampling import Sampler, uniform
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, PromptRow

# Of one family with our caches and of one without.
NAMES = ["llama", "gemma2", "bloom"]


@pytest.fixture(scope="module", params=NAMES)
def setup(request: pytest.FixtureRequest):
    model = tiny_model(request.param, torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=request.param)
    base.model.generation_config.eos_token_id = None
    return base, random_adapters(base), model


def prompts(n: int = 7, shared: int = 0, seed: int = 3) -> list[PromptRow]:
    generator = torch.Generator().manual_seed(seed)
    prefix = torch.randint(6, 97, (shared,), generator=generator).tolist()
    return [
        PromptRow(tuple(prefix + torch.randint(6, 97, (3 + 2 * number,), generator=generator).tolist()))
        for number in range(n)
    ]


def keys_of(rows: list[PromptRow]) -> list[str]:
    return [f"row-{number}" for number in range(len(rows))]


def next_probabilities(model, context: tuple[int, ...], temperature: float) -> np.ndarray:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context])).logits[0, -1].double()
    return (logits / temperature).softmax(-1).numpy()


def test_uniform_numbers_are_those_of_sha256_and_uniform() -> None:
    digest = hashlib.sha256(b"3\x1fa\x1f1\x1f2").digest()
    by_hand = int.from_bytes(digest[:8], "big") // 2048 / 2**53
    assert uniform(3, "a", 1, 2) == by_hand
    numbers = [uniform(0, "key", sample, place) for sample in range(50) for place in range(40)]
    assert 0 <= min(numbers) < max(numbers) < 1
    assert stats.kstest(numbers, "uniform").pvalue > 0.01


@pytest.mark.parametrize("temperature", [0.4, 0.7])
def test_first_and_second_tokens_are_distributed_as_the_model_says(setup, temperature: float) -> None:
    base, models, model = setup
    (row,) = prompts(1)
    sampling = Sampling(samples=3000, temperature=temperature, seed=1)
    with Bank(base, {"wide": models["wide"]}) as bank:
        found = sample(bank, [row], ["key"], sampling, max_new_tokens=2)["wide"][0]
    peer = peft_of(model, models["wide"])
    firsts = np.array([answer.ids[0] if answer.ids else 5 for answer in found])
    assert _fits(firsts, next_probabilities(peer, row.context, temperature))
    common = np.bincount(firsts).argmax()
    seconds = np.array([(*answer.ids, 5)[1] for answer in found if answer.ids and answer.ids[0] == common])
    assert len(seconds) > 60
    assert _fits(seconds, next_probabilities(peer, (*row.context, int(common)), temperature))
    assert not _fits(firsts, next_probabilities(peer, row.context, 2 * temperature)), "the test can tell"


def _fits(tokens: np.ndarray, probabilities: np.ndarray) -> bool:
    """Chi-square over the tokens that are expected five times, all others together."""
    expected = probabilities * len(tokens)
    counts = np.bincount(tokens, minlength=len(probabilities))
    often = expected >= 5
    seen, due = [*counts[often], counts[~often].sum()], [*expected[often], expected[~often].sum()]
    if due[-1] < 1e-9:
        seen, due = seen[:-1], due[:-1]
    return bool(stats.chisquare(seen, np.array(due) * (sum(seen) / sum(due))).pvalue > 0.001)


def test_draws_depend_on_nothing_but_seed_key_sample_and_place(setup) -> None:
    base, models, _ = setup
    rows = prompts()
    keys, sampling = keys_of(rows), Sampling(samples=3, temperature=1.0, seed=4)
    with Bank(base, models) as bank:
        whole = sample(bank, rows, keys, sampling, max_new_tokens=6)
        again = sample(bank, rows[::-1], keys[::-1], sampling, max_new_tokens=6, tokens_per_pass=30)
        more = sample(bank, rows, keys, Sampling(samples=5, seed=4), max_new_tokens=6)
        other = sample(bank, rows, keys, Sampling(samples=3, seed=5), max_new_tokens=6)
        renamed = sample(bank, rows, [key + "'" for key in keys], sampling, max_new_tokens=6)
    with Bank(base, {"wide": models["wide"]}) as bank:
        alone = sample(bank, rows[2:3], keys[2:3], sampling, max_new_tokens=6)
    for name in models:
        assert again[name][::-1] == whole[name]
        assert [samples[:3] for samples in more[name]] == whole[name]
        assert other[name] != whole[name] != renamed[name]
    assert alone["wide"][0] == whole["wide"][2]
    assert len({answer.ids for samples in whole["wide"] for answer in samples}) > 15, "samples differ"


def test_small_caches_give_the_same_samples(setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the samples of one prompt do not fit into one batch."""
    base, models, _ = setup
    rows = prompts(4, shared=12)
    keys, sampling = keys_of(rows), Sampling(samples=5, seed=2)
    with Bank(base, models) as bank:
        whole = sample(bank, rows, keys, sampling, max_new_tokens=5)
        module = importlib.import_module("traitscope.engine.generation")
        monkeypatch.setattr(module, "cache_rows", lambda base, places: 3 * len(models))
        small = sample(bank, rows, keys, sampling, max_new_tokens=5)
        bare = sample(bank, rows, keys, sampling, max_new_tokens=5, share_prefix=False)
    assert small == whole == bare


def test_equal_prompts_of_two_keys_are_drawn_apart(setup) -> None:
    base, _, _ = setup
    row = prompts(1)[0]
    with Bank(base, {"base": None}) as bank:
        found = sample(bank, [row, row, row], ["a", "b", "a"], Sampling(samples=2), max_new_tokens=8)["base"]
    assert found[0] == found[2] != found[1]


def test_temperature_to_zero_is_greedy(setup) -> None:
    base, models, _ = setup
    rows = prompts()
    with Bank(base, models) as bank:
        greedy = generate(bank, rows, max_new_tokens=6)
        cold = sample(bank, rows, keys_of(rows), Sampling(samples=2, temperature=1e-6), max_new_tokens=6)
        one = sample(bank, rows, keys_of(rows), Sampling(temperature=5.0, top_k=1), max_new_tokens=6)
    for name in models:
        assert cold[name] == [[answer, answer] for answer in greedy[name]]
        assert one[name] == [[answer] for answer in greedy[name]]


def test_scores_beside_samples_are_those_alone(setup) -> None:
    base, models, _ = setup
    rows = [OptionRow(row.context, ((7, 8, 9 + number, 5),)) for number, row in enumerate(prompts())]
    keys, sampling = keys_of(prompts()), Sampling(samples=3, seed=9)
    with Bank(base, models) as bank:
        made, scored = sample_and_score(bank, rows, keys, sampling, max_new_tokens=5)
        alone = sample(bank, [PromptRow(row.context) for row in rows], keys, sampling, max_new_tokens=5)
        plain = score_options(bank, rows)
    assert made == alone
    for name in models:
        for got, due in zip(scored[name], plain[name], strict=True):
            assert got[0] == pytest.approx(due[0], abs=1e-4)


def test_stops_end_drawn_answers(setup) -> None:
    base, _, _ = setup
    rows = prompts(3)
    with Bank(base, {"base": None}) as bank:
        found = sample(bank, rows, keys_of(rows), Sampling(samples=20), max_new_tokens=12, stop=["A", "B", "Z", "a"])
    answers = [answer for samples in found["base"] for answer in samples]
    assert {answer.finish for answer in answers} >= {"stop", "length"}
    assert not any(set("ABZa") & set(answer.text) for answer in answers)
    assert all(len(answer.ids) == 12 for answer in answers if answer.finish == "length")


# ---- which tokens are drawn from


def support(sampling: Sampling, logits: list[float]) -> set[int]:
    sampler = Sampler(sampling, ["k"])
    n = sampling.samples
    drawn = sampler.draw(torch.tensor([logits]).expand(n, -1), list(range(n)), [0] * n)
    return set(drawn)


def nucleus(logits: list[float], top_p: float, temperature: float) -> set[int]:
    """The smallest set of likeliest tokens whose probability reaches ``top_p``, in plain Python."""
    weights = np.exp((np.array(logits) - max(logits)) / temperature)
    probabilities = weights / weights.sum()
    kept: set[int] = set()
    for token in np.argsort(-probabilities):
        if sum(probabilities[t] for t in kept) >= top_p:
            break
        kept.add(int(token))
    return kept


@pytest.mark.parametrize(("top_p", "temperature"), [(0.1, 1.0), (0.5, 1.0), (0.8, 0.7), (0.95, 2.0), (1.0, 1.0)])
def test_top_p_draws_from_the_nucleus(top_p: float, temperature: float) -> None:
    logits = [2.0, 1.1, -0.3, 0.7, 1.9, -1.0, 0.2, 0.9]
    sampling = Sampling(samples=4000, temperature=temperature, top_p=top_p)
    assert support(sampling, logits) == nucleus(logits, top_p, temperature)


def test_top_p_equals_transformers_on_the_logits_of_a_model(setup) -> None:
    from transformers import TopPLogitsWarper

    _, _, model = setup
    context = torch.tensor([prompts(1)[0].context])
    with torch.no_grad():
        logits = model(input_ids=context).logits[0, -1:].float()
    for top_p in (0.3, 0.9):
        kept = TopPLogitsWarper(top_p)(context, logits)[0].isfinite().nonzero()[:, 0].tolist()
        found = support(Sampling(samples=4000, top_p=top_p), logits[0].tolist())
        assert found <= set(kept)
        probabilities = logits[0].softmax(-1)
        assert {token for token in kept if probabilities[token] > 0.005} <= found


def test_top_k_draws_from_the_likeliest() -> None:
    assert support(Sampling(samples=500, top_k=3), [0.0, 3.0, 1.0, 2.0, -1.0]) == {1, 2, 3}


def test_a_token_without_probability_is_never_drawn() -> None:
    """Not even by a number next to one, at the end of the vocabulary."""
    sampler = Sampler(Sampling(), ["k"])
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf, -torch.inf]])
    for number, token in ((0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("traitscope.engine.sampling.uniform", lambda *_, number=number: number)
            assert sampler.draw(logits, [0], [0]) == [token]


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"samples": 0}])
def test_impossible_sampling_is_refused(wrong: dict) -> None:
    with pytest.raises(TraitscopeError):
        Sampling(**wrong)


def test_all_architectures_are_among_those_tried() -> None:
    assert set(NAMES) <= set(CONFIGS)
