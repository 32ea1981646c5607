"""Merged adapters: the sum of the updates themselves, against dense numpy and against PEFT's own merging."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import TinyTokenizer, known_model, peft_of, random_adapters, tiny_model

from traitscope.engine import Adapter, Bank, Base, capture, merge_adapters
from traitscope.engine.merge import WAYS, main_directions
from traitscope.errors import TraitscopeError
from traitscope.records import PromptRow


def updates(adapter: Adapter) -> dict[str, np.ndarray]:
    """scale B A of every module, in numpy."""
    found = {}
    for piece in adapter.pieces:
        a_RD, b_OR = piece.views(adapter.flat)
        found[piece.name] = piece.scale * b_OR.numpy() @ a_RD.numpy()
    return found


@pytest.fixture(scope="module")
def base() -> Base:
    return known_model(tiny_model("llama"), TinyTokenizer())


@pytest.fixture(scope="module")
def adapters(base: Base) -> dict[str, Adapter]:
    """Three of different ranks, scales and modules."""
    return {name: adapter for name, adapter in random_adapters(base).items() if adapter is not None}


def test_linear_is_the_weighted_sum_of_the_updates(base: Base, adapters: dict[str, Adapter]) -> None:
    weights = [0.5, 0.3, -0.2]
    merged = updates(merge_adapters(base, list(adapters.values()), weights))
    parts = [updates(adapter) for adapter in adapters.values()]
    assert set(merged) == set().union(*parts)
    for name, update_OD in merged.items():
        wanted = sum(weight * part.get(name, np.zeros(1)) for weight, part in zip(weights, parts, strict=True))
        np.testing.assert_allclose(update_OD, wanted, atol=1e-12)


def test_peft_linear_is_no_sum_of_updates_and_its_cat_is_ours(base: Base, adapters: dict[str, Adapter]) -> None:
    """Two adapters of the same modules and rank, which PEFT's linear asks for."""
    one = adapters["wide"]
    other = Adapter(one.spec, one.pieces, torch.roll(one.flat, 1).clone())
    peft = peft_of(base.model, one)
    from peft import LoraConfig

    config = copy.deepcopy(peft.peft_config["default"])
    assert isinstance(config, LoraConfig)
    peft.add_adapter("other", config)
    parameters = dict(peft.named_parameters())
    with torch.no_grad():
        for key, value in other.tensors().items():
            parameters[key.replace(".weight", ".other.weight")].copy_(value)
    ours = updates(merge_adapters(base, [one, other], [0.5, 0.5]))
    errors = {}
    for way in ("linear", "cat"):
        peft.add_weighted_adapter(["default", "other"], [0.5, 0.5], way, combination_type=way)
        layers = dict(peft.named_modules())
        found = {name: layers[f"base_model.model.{name}"].get_delta_weight(way).detach().numpy() for name in ours}
        errors[way] = max(np.abs(found[name] - ours[name]).max() / np.abs(ours[name]).max() for name in ours)
    assert errors["cat"] < 1e-12
    assert errors["linear"] > 0.3


@pytest.mark.parametrize("how", ["ties", "dare"])
def test_ties_and_dare_are_pefts_on_whole_updates(base: Base, adapters: dict[str, Adapter], how: str) -> None:
    """By the rules of the papers, written in numpy; the rank of two parts is enough for what is kept here."""
    one, flat = adapters["wide"], adapters["wide"].flat.clone()
    for piece in one.pieces:
        piece.views(flat)[1].mul_(-0.4)
    parts = [one, Adapter(one.spec, one.pieces, flat)]
    merged = updates(merge_adapters(base, parts, [1.0, 1.0], how=how, density=1.0))
    first, second = (updates(part) for part in parts)
    for name, update_OD in merged.items():
        # The second is -0.4 times the first: the majority's sign is the first's, whose entries alone are averaged.
        wanted = first[name] if how == "ties" else first[name] + second[name]
        np.testing.assert_allclose(update_OD, wanted, atol=1e-10)


def test_dare_keeps_the_mean_and_ties_the_largest(base: Base, adapters: dict[str, Adapter]) -> None:
    part, zero = adapters["wide"], Adapter(adapters["wide"].spec, adapters["wide"].pieces, adapters["wide"].flat * 1e-9)
    name = part.pieces[0].name
    wanted = updates(part)[name]
    drawn = [
        updates(merge_adapters(base, [part, zero], [1.0, 1.0], how="dare", density=0.5, seed=seed))[name]
        for seed in range(60)
    ]
    assert not np.allclose(drawn[0], drawn[1])
    # The kept rank holds most of it; the mean over draws goes to the update itself.
    assert np.corrcoef(np.mean(drawn, axis=0).ravel(), wanted.ravel())[0, 1] > 0.97
    again = updates(merge_adapters(base, [part, zero], [1.0, 1.0], how="dare", density=0.5, seed=0))[name]
    np.testing.assert_array_equal(again, drawn[0])


@pytest.mark.parametrize("how", WAYS)
def test_a_merged_adapter_is_saved_and_loaded_as_any_other(
    base: Base, adapters: dict[str, Adapter], how: str, tmp_path: Path
) -> None:
    from peft import PeftModel

    merged = merge_adapters(base, list(adapters.values()), [0.4, 0.4, 0.2], how=how)
    merged.save(tmp_path / "merged", base)
    again = Adapter.load(tmp_path / "merged", base)
    assert updates(again).keys() == updates(merged).keys()
    rows = [PromptRow((7, 8, 9, 10)), PromptRow((11, 12))]
    with Bank(base, {"merged": again}) as bank:
        ours = capture(bank, rows, position="last")["merged"]
    peft = PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path / "merged")).eval()
    with torch.no_grad():
        for index, row in enumerate(rows):
            theirs = peft(input_ids=torch.tensor([row.context]), output_hidden_states=True).hidden_states
            np.testing.assert_allclose(ours[1, index], theirs[1][0, -1].numpy(), atol=2e-5)


def test_the_main_direction_is_the_first_right_singular_vector_of_the_update(adapters: dict[str, Adapter]) -> None:
    for name, direction_D in main_directions(adapters["wide"]).items():
        _, s, v = np.linalg.svd(updates(adapters["wide"])[name])
        assert s[0] > s[1] * 1.01
        assert abs(v[0] @ direction_D.numpy()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("parts", "weights", "options", "words"),
    [
        (1, [1.0], {}, "1 adapters"),
        (2, [1.0], {}, "with 1 weights"),
        (2, [0.5, 0.5], {"how": "mean"}, "unknown way to merge 'mean'"),
        (2, [0.5, 0.5], {"how": "dare", "density": 0.0}, "density is 0"),
    ],
)
def test_what_cannot_be_merged_is_refused(base: Base, adapters, parts, weights, options, words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        merge_adapters(base, list(adapters.values())[:parts], weights, **options)


def test_ties_trims_elects_and_averages_as_its_paper_says(base: Base, adapters: dict[str, Adapter]) -> None:
    """Yadav et al. 2023, section 4, in numpy; two updates of rank r, of which the best of rank 2 r is kept."""
    one = adapters["wide"]
    other = Adapter(one.spec, one.pieces, torch.roll(one.flat, 3).clone())
    merged = updates(merge_adapters(base, [one, other], [1.0, 1.0], how="ties", density=0.3))
    parts = [updates(one), updates(other)]
    for name, found_OD in merged.items():
        kept = []
        for part in parts:
            size = np.abs(part[name])
            kept.append(np.where(size >= np.sort(size.ravel())[-int(0.3 * size.size)], part[name], 0.0))
        sign = np.sign(sum(kept))
        agree = [np.where(np.sign(part) == sign, part, 0.0) for part in kept]
        mean = sum(agree) / np.maximum(sum((part != 0).astype(int) for part in agree), 1)
        u, s, v = np.linalg.svd(mean)
        rank = 2 * next(piece.rank for piece in one.pieces if piece.name == name)
        best = (u[:, :rank] * s[:rank]) @ v[:rank]
        np.testing.assert_allclose(found_OD, best, atol=1e-6 * np.abs(best).max())


def test_dare_draws_anew_in_every_layer(base: Base, adapters: dict[str, Adapter]) -> None:
    """Two modules with the same update lose other entries."""
    one = adapters["wide"]
    first = one.pieces[0]
    shape = (first.d_in, first.d_out, first.rank)
    twins = [piece for piece in one.pieces if (piece.d_in, piece.d_out, piece.rank) == shape][:2]
    assert len(twins) == 2
    flat = one.flat.clone()
    for view, source in zip(twins[1].views(flat), twins[0].views(one.flat), strict=True):
        view.copy_(source)
    part = Adapter(one.spec, one.pieces, flat)
    zero = Adapter(one.spec, one.pieces, flat * 1e-12)
    merged = updates(merge_adapters(base, [part, zero], [1.0, 1.0], how="dare", seed=0))
    assert not np.allclose(merged[twins[0].name], merged[twins[1].name])
