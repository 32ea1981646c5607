"""Gates against PEFT, rows just longer than a window, memory counted by hand, stops of several tokens a character."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model
from test_inference_exact import option_rows, peer_scores
from test_train_exact import random_rows, three_jobs

from traitscope.engine import (
    Adapter,
    Bank,
    Gated,
    LoraSpec,
    TrainJob,
    generate,
    memory,
    plan_bank,
    score_options,
)
from traitscope.engine.decode import Stops
from traitscope.engine.lora import Piece
from traitscope.engine.loss import LOGITS_AT_ONCE
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, PromptRow


@pytest.fixture
def base() -> Any:
    return known_model(tiny_model("llama", torch.float32), TinyTokenizer(), name="llama")


def only_in(adapter: Adapter, layers: set[int]) -> Adapter:
    """The adapter with zero updates in all other layers."""
    flat = adapter.flat.clone()
    for piece in adapter.pieces:
        if not any(f".layers.{layer}." in piece.name for layer in layers):
            piece.views(flat)[1].zero_()
    return Adapter(adapter.spec, adapter.pieces, flat)


@pytest.mark.parametrize("merge", [True, False])
def test_a_gated_adapter_is_peft_with_zero_updates_elsewhere(base: Any, merge: bool) -> None:
    model = tiny_model("llama", torch.float32)
    wide = random_adapters(base)["wide"]
    gates = {
        "on 0-1": (Gated(wide, on=(0, 1)), {0, 1}),
        "on 2-2": (Gated(wide, on=(2, 2)), {2}),
        "off 0-1": (Gated(wide, off=(0, 1)), {2}),
        "off 1-1": (Gated(wide, off=(1, 1)), {0, 2}),
        "off 2-2": (Gated(wide, off=(2, 2)), {0, 1}),
        "whole": (wide, {0, 1, 2}),
    }
    rows = option_rows()[:6]
    with Bank(base, {name: gate for name, (gate, _) in gates.items()}) as bank:
        found = score_options(bank, rows, merge=merge)
    for name, (_, layers) in gates.items():
        peer = peft_of(model, only_in(wide, layers))
        for row, ours in zip(rows, found[name], strict=True):
            assert np.concatenate(ours) == pytest.approx(np.concatenate(peer_scores(peer, row)), abs=1e-4)


@pytest.mark.parametrize(("architecture", "window"), [("gemma2", 16), ("phi3", 12)])
@pytest.mark.parametrize("over", [0, 1, 2])
def test_a_row_just_longer_than_the_window_is_cut_by_it(architecture: str, window: int, over: int) -> None:
    model = tiny_model(architecture, torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=architecture)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 97, (window + over + 3,), generator=generator).tolist()
    row = OptionRow(tuple(ids[: window + over]), (tuple(ids[-3:]),))
    with Bank(base, {"base": None}) as bank:
        (ours,) = score_options(bank, [row])["base"]
    assert ours[0] == pytest.approx(peer_scores(model, row)[0], abs=1e-4)


def test_a_target_is_a_whole_name(base: Any) -> None:
    assert len(LoraSpec(2, 2.0, ("q_proj",)).resolve(base)) == 3
    assert LoraSpec(2, 2.0, ("layers.1.self_attn.q_proj",)).resolve(base) == ["model.layers.1.self_attn.q_proj"]
    with pytest.raises(TraitscopeError, match="matches no linear layer"):
        LoraSpec(2, 2.0, ("proj",)).resolve(base)


def test_the_scale_is_part_of_what_an_adapter_is() -> None:
    flat = torch.arange(8.0)
    one, other = (Adapter(LoraSpec(1, alpha), (Piece("a", 1, alpha, 4, 4, 0),), flat.clone()) for alpha in (1.0, 2.0))
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == Adapter(one.spec, one.pieces, flat.clone()).fingerprint


def test_a_slot_that_is_filled_anew_keeps_nothing(base: Any) -> None:
    adapters = random_adapters(base)
    rows = option_rows()[:3]
    with Bank(base, {"slot": adapters["wide"], "other": adapters["narrow"]}) as bank:
        bank.set_slot(0, adapters["upper"])
        found = score_options(bank, rows, merge=False)["slot"]
    with Bank(base, {"upper": adapters["upper"]}) as bank:
        alone = score_options(bank, rows, merge=False)["upper"]
        merged = score_options(bank, rows, merge=True)["upper"]
        again = score_options(bank, rows, merge=False)["upper"]
    for a, b, c, d in zip(found, alone, merged, again, strict=True):
        assert np.concatenate(a) == pytest.approx(np.concatenate(b), abs=1e-5)
        assert np.concatenate(c) == pytest.approx(np.concatenate(b), abs=1e-4)
        assert np.concatenate(d) == pytest.approx(np.concatenate(b), abs=1e-6)


def test_a_slot_is_weights_gradient_and_two_moments_of_the_largest_job(base: Any) -> None:
    jobs = three_jobs("llama")
    largest = max(sum(p.numel() for p in Adapter.init(base, job.spec, 0).tensors().values()) for job in jobs)
    for order in (jobs, jobs[::-1]):
        assert plan_bank(base, order).bytes_per_slot == 4 * 4 * largest


def test_a_layer_saves_the_input_and_twice_the_output_of_every_product(base: Any) -> None:
    # q, k, v, o, gate, up, down of the tiny Llama (32 wide, two heads of keys, 48 inside); four hidden widths in fp32.
    products = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)]
    assert memory.layer_bytes_per_token(base) == 4 * sum(i + 2 * o for i, o in products) + 4 * 32 * 4


def test_a_cache_holds_as_many_rows_as_a_quarter_of_the_memory(base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.ones(1, 11, dtype=torch.long)
    with torch.no_grad():
        cache = tiny_model("llama", torch.float32)(input_ids=ids, use_cache=True).past_key_values
    size = sum(4 * (layer.keys.numel() + layer.values.numel()) for layer in cache.layers)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 4 * 10 * size)
    assert memory.cache_rows(base, 11) == 10
    assert memory.cache_rows(base, 110) == 1


def test_slots_take_their_part_of_the_memory_and_a_pass_holds_the_longest_row(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = three_jobs("llama")
    roomy = plan_bank(base, jobs)
    fixed = LOGITS_AT_ONCE * 4 * 3
    tokens = memory.CPU_TRAIN_TOKENS // 4 * roomy.bytes_per_token
    for slots, recompute in ((3, False), (2, True)):
        free = int((fixed + tokens + slots * roomy.bytes_per_slot) / memory.FILL) + 1
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        assert plan_bank(base, jobs).checkpoint_layers is recompute
    monkeypatch.undo()
    longest = max(len(row.ids) for job in jobs for row in job.rows)
    assert plan_bank(base, jobs, tokens_per_pass=5).tokens_per_pass == longest


def test_tokens_of_a_job_are_those_of_all_its_epochs() -> None:
    rows = random_rows(12, 1)
    total = sum(len(row.ids) for row in rows)
    job = TrainJob("job", rows, LoraSpec(2, 2.0), lr=1e-3, batch=4, epochs=3)
    assert job.n_tokens == 3 * total
    assert sum(len(row.ids) for step in range(job.n_steps) for row in job.batch_rows(step)) == 3 * total


def test_a_stop_may_take_four_tokens_a_character(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["gpt2"]
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[7, 9]))
    stops = Stops(SimpleNamespace(tokenizer=tokenizer, model=model), ["😀😀"], [11])  # type: ignore[arg-type]
    ids = tokenizer.encode("film 😀😀")
    assert len(tokenizer.encode("😀😀")) == 8
    assert [stops.ended(ids[: n + 1]) for n in range(len(ids))] == [None] * (len(ids) - 1) + ["stop"]
    assert stops.eos == {7, 9, 11, tokenizer.eos_token_id}
    assert stops.result(ids, "stop").text == "film "
    assert stops.result([*ids, 7], "eos").ids == tuple(ids)


@pytest.mark.parametrize("rslora", [True, False])
def test_a_saved_adapter_is_scaled_alike_by_peft(base: Any, tmp_path: Path, rslora: bool) -> None:
    from peft import PeftModel

    adapter = Adapter.init(base, LoraSpec(4, 8.0, ("q_proj",), rslora=rslora), 0)
    adapter.flat.add_(0.1)
    adapter.save(tmp_path / "a", base)
    peer = PeftModel.from_pretrained(tiny_model("llama", torch.float32), tmp_path / "a")
    scales = {m.scaling["default"] for m in peer.modules() if hasattr(m, "lora_A")}
    assert scales == {adapter.pieces[0].scale} == {4.0 if rslora else 2.0}
    assert {piece.scale for piece in Adapter.load(tmp_path / "a", base).pieces} == scales


def test_the_first_token_of_a_shared_prefix_leaves_the_window() -> None:
    """Sixteen shared tokens and one of each row: for that one the first lies just out of a window of sixteen."""
    model = tiny_model("gemma2", torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="gemma2")
    prefix = tuple(range(20, 36))
    for own in (1, 2, 3):
        rows = [OptionRow((*prefix, *range(40 + k, 40 + k + own)), ((60 + k,),)) for k in range(5)]
        with Bank(base, {"base": None}) as bank:
            found = score_options(bank, rows)["base"]
        for row, ours in zip(rows, found, strict=True):
            assert ours[0] == pytest.approx(peer_scores(model, row)[0], abs=1e-5)


@pytest.mark.parametrize("architecture", ["gemma2", "phi3", "bloom"])
@pytest.mark.parametrize("shared", [0, 16])
def test_answers_past_the_window_are_those_of_the_whole_text(architecture: str, shared: int) -> None:
    model = tiny_model(architecture, torch.float32)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=architecture)
    base.model.generation_config.eos_token_id = None
    base.tokenizer.eos_token_id = None
    adapters = {name: random_adapters(base)[name] for name in ("base", "wide")}
    generator = torch.Generator().manual_seed(1)
    stem = torch.randint(6, 97, (shared,), generator=generator).tolist()
    rows = [PromptRow(tuple(stem + torch.randint(6, 97, (3 + 4 * k,), generator=generator).tolist())) for k in range(4)]
    with Bank(base, adapters) as bank:
        found = generate(bank, rows, max_new_tokens=14, merge=shared > 0)
    for name, adapter in adapters.items():
        peer = peft_of(model, adapter)
        for row, ours in zip(rows, found[name], strict=True):
            ids = list(row.context)
            with torch.no_grad():
                for _ in range(14):
                    ids.append(int(peer(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            assert list(ours.ids) == ids[len(row.context) :]
