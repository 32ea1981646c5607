"""What is read off a model: spans of its masks, position tables by row, its own counting, and what is remembered."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, masking_utils

from engine.helpers import TinyTokenizer, tiny_model
from traitscope.engine import Bank, generate, remembered, score_options, wrap_model
from traitscope.engine.layout import CausalPack
from traitscope.engine.positions import Sides, Table, tables_by_row
from traitscope.engine.runtime import Site
from traitscope.engine.spans import ALL, RowMask, Span, span_of
from traitscope.engine.structure import CountingFromAfar
from traitscope.records import OptionRow, PromptRow
from traitscope.store.reading import positions_of

SMALL = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 200,
}  # fmt: skip
ORIGINAL = 32
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": ORIGINAL, "factor": 6.0,
    "short_factor": [1.0] * 4, "long_factor": [1.0, 3.0, 6.0, 9.0],
}  # fmt: skip


def random_model(seed: int = 0, **config):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**{**SMALL, **config}), trust_remote_code=False)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape) * 0.3)
    return model.float().eval()


def own_logprobs(model, context, option) -> np.ndarray:
    """As lm-eval takes them: an answer's last token is predicted, not run."""
    logits_TV = model(input_ids=torch.tensor([(context + option)[:-1]]), use_cache=False).logits[0].double()
    picked = logits_TV.log_softmax(-1)[len(context) - 1 :]
    return picked[torch.arange(len(option)), torch.tensor(option)].numpy()


def rows_of(lengths, seed=0):
    draw = np.random.default_rng(seed)
    shared = draw.integers(0, 97, 200).tolist()
    rows = []
    for length in lengths:
        a, b, c = draw.integers(0, 97, 3).tolist()
        rows.append(OptionRow((*shared[: length - 2], a, b), ((b, c, a), (b, a))))
    return rows


@pytest.mark.parametrize(
    ("function", "span"),
    [
        (masking_utils.causal_mask_function, ALL),
        (masking_utils.sliding_window_causal_mask_function(1), Span(window=1)),
        (masking_utils.sliding_window_causal_mask_function(7), Span(window=7)),
        (masking_utils.sliding_window_causal_mask_function(4096), Span(window=4096)),
        (masking_utils.sliding_window_causal_mask_function(10**6), ALL),
        (masking_utils.chunked_causal_mask_function(8, torch.zeros(1, dtype=int)), Span(chunk=8)),
        (masking_utils.chunked_causal_mask_function(4095, torch.zeros(1, dtype=int)), Span(chunk=4095)),
        (masking_utils.bidirectional_mask_function, None),
        (masking_utils.sliding_window_bidirectional_mask_function(9), None),
        (lambda b, h, q, k: (k <= q) & (k % 64 != 3), None),
        (lambda b, h, q, k: (k <= q) & ((q - k < 16) | (k < 4)), None),
        (lambda b, h, q, k: (k <= q) & (q - k < torch.where(q < 500, 600, 20)), None),
    ],
)
def test_spans_are_those_of_the_mask_function(function, span):
    assert span_of(RowMask(function), 20_000) == span


def test_spans_see_by_hand():
    query, key = np.array([[5], [6]]), np.array([[2, 3, 4, 5]])
    assert Span(window=2).sees(query, key).tolist() == [[False, False, True, True], [False, False, False, True]]
    assert Span(chunk=3).sees(query, key).tolist() == [[False, True, True, True], [False] * 4]
    assert ALL.sees(query, key).all()
    assert [Span(window=3).hides(4, 6), Span(window=3).hides(4, 7)] == [False, True]
    assert [Span(chunk=4).hides(4, 7), Span(chunk=4).hides(3, 4), ALL.hides(0, 10**6)] == [False, True, False]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "rope_parameters": LONGROPE},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0},
        {"model_type": "qwen2_moe", "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0,
         "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
         "shared_expert_intermediate_size": 16},
        {"model_type": "mistral", "sliding_window": 6},
        {"model_type": "diffllama"},
    ],
    ids=["longrope", "window of all layers", "window and experts", "short window", "two calls a layer"],
)  # fmt: skip
def test_rows_beyond_every_window_and_length_are_the_models_own(config):
    model = random_model(**config)
    rows = rows_of([5, 20, ORIGINAL - 1, ORIGINAL, ORIGINAL + 3, 60, 90])
    with torch.no_grad():
        wanted = [[own_logprobs(model, row.context, option) for option in row.options] for row in rows]
        said = [
            model.generate(
                input_ids=torch.tensor([row.context]), attention_mask=torch.ones(1, len(row.context), dtype=int),
                max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0,
            )[0, len(row.context) :].tolist()
            for row in rows
        ]  # fmt: skip
    base = wrap_model(model, None)
    base.tokenizer = type("NoEnd", (TinyTokenizer,), {"eos_token_id": None})()
    base.model.generation_config.eos_token_id = None
    assert base.packed
    with Bank(base, {"base": None}) as bank:
        found = score_options(bank, rows)["base"]
        answers = generate(bank, [PromptRow(row.context) for row in rows], max_new_tokens=6)["base"]
    for ours, theirs in zip(found, wanted, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a - b).max() < 1e-4
    assert [list(answer.ids) for answer in answers] == said


def test_rows_of_one_side_do_not_begin_with_the_prefix_of_the_other():
    model = random_model(model_type="llama", rope_parameters=LONGROPE)
    base = wrap_model(model, TinyTokenizer())
    assert base.packed and base.sides is not None
    shared = np.random.default_rng(5).integers(0, 97, 60).tolist()
    # The long ones share a prefix, the short ones share none.
    prompts = [PromptRow((*shared, n, n + 1)) for n in range(5)] + [PromptRow((8, 9, 10)), PromptRow((11, 12))]
    with Bank(base, {"base": None}) as bank:
        found = generate(bank, prompts, max_new_tokens=4)["base"]
        alone = [generate(bank, [prompt], max_new_tokens=4)["base"][0] for prompt in prompts]
    assert found == alone


def test_a_table_of_a_row_is_that_of_the_row_alone():
    rotary = random_model(model_type="llama", rope_parameters=LONGROPE).model.rotary_emb
    x = torch.zeros(1, 1, 1)
    sides = Sides([Table(rotary, (x,), {"position_ids": torch.arange(20)[None]}, 20)])
    assert sides.vary(200, [])
    assert sides(ORIGINAL) == sides(4)
    assert sides(ORIGINAL + 1) == sides(150) != sides(4)
    lengths = [10, ORIGINAL + 5, 3]
    layout = CausalPack(lengths, device=torch.device("cpu"))
    with tables_by_row(sides, layout):
        cos, sin = rotary(x, position_ids=layout.position_ids[None])
    alone = [rotary(x, position_ids=torch.arange(n)[None]) for n in lengths]
    assert torch.equal(cos, torch.cat([c for c, _ in alone], dim=1))
    assert torch.equal(sin, torch.cat([s for _, s in alone], dim=1))
    assert "forward" not in vars(rotary)


def test_tables_that_do_not_change_are_left_alone():
    rotary = random_model(model_type="llama").model.rotary_emb
    table = Table(rotary, (torch.zeros(1, 1, 1),), {"position_ids": torch.arange(20)[None]}, 20)
    assert not Sides([table]).vary(200, [31, 32, 33])


def test_counting_from_afar_moves_the_ranges_of_that_length_alone():
    with CountingFromAfar(5):
        five, six = torch.arange(5), torch.arange(6)
    assert five[0] > 10**6
    assert six[0] == 0


def test_what_was_proven_is_remembered_until_the_model_or_the_software_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path))
    first = wrap_model(tiny_model("gemma2", torch.float32), TinyTokenizer(), fingerprint="f")
    (file,) = tmp_path.glob("paths/*.json")

    def refuse(*_, **__):
        raise AssertionError("proven again")

    with monkeypatch.context() as patched:
        patched.setattr("traitscope.engine.wrap.reference", refuse)
        again = wrap_model(tiny_model("gemma2", torch.float32), TinyTokenizer(), fingerprint="f")
        with pytest.raises(Exception, match="proven again"):
            wrap_model(tiny_model("gemma2", torch.float32), TinyTokenizer(), fingerprint="g")
        patched.setattr(remembered, "version", lambda _: "0")
        with pytest.raises(Exception, match="proven again"):
            wrap_model(tiny_model("gemma2", torch.float32), TinyTokenizer(), fingerprint="f")
    assert again.paths == first.paths
    assert sorted(map(str, again.runtime.sites.values())) == sorted(map(str, first.runtime.sites.values()))
    rows = rows_of([5, 20, 40])
    scored = []
    for base in (first, again):
        with Bank(base, {"base": None}) as bank:
            scored.append(score_options(bank, rows)["base"])
    for one, other in zip(*scored, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    file.write_text(json.dumps({"paths": {}})[:-3])
    third = wrap_model(tiny_model("gemma2", torch.float32), TinyTokenizer(), fingerprint="f")
    assert third.paths == first.paths


def test_windows_and_chunks_are_remembered_as_they_were(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path))
    base = wrap_model(tiny_model("llama", torch.float32), TinyTokenizer(), fingerprint="f")
    spans = [Span(chunk=8), Span(window=7)]
    modules = [layer.self_attn for layer in base.model.model.layers][:2]
    sites = {id(m): Site(n, n + 1, spans[n]) for n, m in enumerate(modules)}
    base.runtime.sites = dict(sites)
    remembered.remember(base)
    base.runtime.sites = {}
    assert remembered.recall(base)
    assert base.runtime.sites == sites


@pytest.mark.parametrize(
    ("entries", "longest"),
    [
        ({"index_topk": 12}, 12),
        ({"index_topk_blocks": 3, "index_block_size": 4}, 12),
        ({"index_topk_blocks": 3}, 3),
        ({"index_topk_blocks": 100, "index_block_size": 4}, 200),
        ({"model_type": "big_bird", "block_size": 4, "num_random_blocks": 2}, 36),
        ({"model_type": "big_bird", "block_size": 4, "attention_type": "original_full"}, 200),
    ],
)
def test_rows_are_no_longer_than_what_a_sparse_attention_keeps(entries, longest):
    config = AutoConfig.for_model(**{"model_type": "llama", "max_position_embeddings": 200, **entries})
    assert positions_of(config) == longest
