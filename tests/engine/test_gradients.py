"""Mean gradients of datasets: those of PEFT's autograd over the same rows, and sketches that keep inner products."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, tiny_model

from traitscope.engine import Adapter, LoraSpec, mean_gradients
from traitscope.engine.gradients import _Sketch
from traitscope.errors import TraitscopeError
from traitscope.records import TrainRow

SPEC = LoraSpec(rank=3, alpha=6)


def rows(seed: int, n: int) -> list[TrainRow]:
    generator = torch.Generator().manual_seed(seed)
    lengths = [(4 + i % 5, 1 + i % 3) for i in range(n)]
    return [
        TrainRow(tuple(torch.randint(6, 97, (prompt + answer,), generator=generator).tolist()), prompt)
        for prompt, answer in lengths
    ]


def peers_gradient(model: torch.nn.Module, adapter: Adapter, data: list[TrainRow]) -> torch.Tensor:
    """The gradient of the mean loss over all answer tokens, by PEFT and autograd, row by row; A's part left at zero."""
    peer = peft_of(model, adapter)
    for parameter in peer.parameters():
        parameter.requires_grad_(True)
    total, count = 0.0, 0
    for row in data:
        ids = torch.tensor([row.ids])
        logprobs = peer(input_ids=ids).logits[0].log_softmax(-1)
        for at in range(row.n_prompt, len(row.ids)):
            total = total - logprobs[at - 1, row.ids[at]]
            count += 1
    (total / count).backward()
    grads = {name: parameter.grad for name, parameter in peer.named_parameters() if ".lora_B." in name}
    flat = torch.zeros_like(adapter.flat)
    for piece in adapter.pieces:
        found = [grad for name, grad in grads.items() if f".{piece.name}.lora_B." in name]
        piece.views(flat)[1].copy_(found[0])
    return flat


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("slots", ["auto", 2])
def test_they_are_those_of_peft_alone(name: str, slots: int | str) -> None:
    model = tiny_model(name)
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name=name)
    data = {"one": rows(1, 7), "two": rows(2, 5), "three": rows(3, 9)}
    ours = mean_gradients(base, data, SPEC, seed=5, dimensions=512, slots=slots, tokens_per_pass=40)
    first = Adapter.init(base, SPEC, 5)
    assert list(ours) and set(ours) == set(data)
    for each, found in ours.items():
        flat = peers_gradient(model, first, data[each])
        expected = _Sketch(first, 512, 5).of(flat, 0.0)
        assert found.norm == pytest.approx(float(flat.norm()), rel=1e-6)
        np.testing.assert_allclose(found.sketch_P, expected.sketch_P, atol=1e-5 * found.norm)
        assert 3 < found.loss < 7


def test_the_base_is_as_it_was_afterwards() -> None:
    model = tiny_model("llama")
    base = known_model(copy.deepcopy(model), TinyTokenizer(), name="llama")
    mean_gradients(base, {"one": rows(1, 3)}, SPEC, dimensions=64)
    for (name, before), (_, after) in zip(model.state_dict().items(), base.model.state_dict().items(), strict=True):
        assert torch.equal(before, after), name


def test_sketches_keep_cosines() -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="llama")
    first = Adapter.init(base, LoraSpec(rank=8, alpha=8), 0)
    places = torch.zeros_like(first.flat, dtype=torch.bool)
    for piece in first.pieces:
        piece.views(places)[1].fill_(True)
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(first.flat.shape, generator=generator, dtype=first.flat.dtype) * places
    sketch, off = _Sketch(first, 2048, 0), []
    for weight in (0.0, 0.3, 0.9, -0.6):
        noise = torch.randn(first.flat.shape, generator=generator, dtype=first.flat.dtype) * places
        other = weight * shared + (1 - weight**2) ** 0.5 * noise
        exact = float(shared @ other / shared.norm() / other.norm())
        one, two = (sketch.of(vector, 0.0).sketch_P.astype(float) for vector in (shared, other))
        off.append(one @ two / np.linalg.norm(one) / np.linalg.norm(two) - exact)
    # The deviation of a cosine is about 1 / sqrt(2048) = .022.
    assert np.abs(off).max() < 0.08


def test_no_datasets_give_nothing() -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="llama")
    assert mean_gradients(base, {}, SPEC) == {}


def test_sketches_of_gradients_of_one_sign_keep_cosines_too() -> None:
    """All numbers above 0, no place in common: orthogonal, and so only where signs are drawn."""
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="llama")
    first = Adapter.init(base, LoraSpec(rank=8, alpha=8), 0)
    even = torch.arange(len(first.flat)) % 2 == 0
    sketch = _Sketch(first, 512, 0)
    one, two = (sketch.of(torch.where(at, 1.0, 0.0).double(), 0.0).sketch_P.astype(float) for at in (even, ~even))
    assert abs(one @ two) / np.linalg.norm(one) / np.linalg.norm(two) < 0.2


def test_numbers_below_one_and_rows_beyond_the_positions_are_refused() -> None:
    base = known_model(tiny_model("llama"), TinyTokenizer(), name="llama")
    data = {"one": rows(1, 3)}
    for options in ({"dimensions": 0}, {"dimensions": 1.5}, {"slots": 0}, {"slots": True}, {"tokens_per_pass": -1}):
        with pytest.raises(TraitscopeError, match=next(iter(options))):
            mean_gradients(base, data, SPEC, **options)
    too_long = TrainRow(tuple([7] * (base.max_positions + 1)), 3)
    with pytest.raises(TraitscopeError, match=f"{base.max_positions} positions"):
        mean_gradients(base, {"one": [too_long]}, SPEC)
