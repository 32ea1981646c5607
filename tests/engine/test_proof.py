"""No path is taken that is not exact: models that hide what the paths would change are found out, or refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from engine import fooling
from engine.helpers import TinyTokenizer, deep_model
from traitscope.engine import Adapter, Bank, proof, score_options, wrap_model
from traitscope.engine.reference import Rows, reference
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow

# By model: the fastest path that is exact for it, and why no faster one is.
SLOWER = {
    "weak_convolution": ("batched", "rows side by side are not independent"),
    "weaker_convolution": ("batched", "rows side by side are not independent"),
    "weak_recurrence": ("batched", "rows side by side are not independent"),
    "mixes_equal_positions": ("batched", "rows side by side are not independent"),
    "weak_mean_so_far": ("batched", "it counts tokens by itself"),
    "decays_weakly_with_distance": ("batched", ""),
    "convolution_of_ids": ("batched", "log-probabilities of row"),
    "resets_at_separator": ("batched", "log-probabilities of row"),
    "counts_by_itself": ("batched", "log-probabilities of row"),
    "counts_faintly": ("batched", "log-probabilities of row"),
    "crowd_matters_and_counts": ("single", "rows change with how many others are beside them"),
    "mixes_siblings": ("batched", "answers side by side are not independent"),
    "counts_by_cumsum": ("batched", "log-probabilities of row"),
    "attends_twice_with_other_windows": ("batched", "it makes attention masks of its own"),
    "sees_the_cache_otherwise": ("batched", "a step of 1 tokens behind a cache"),
    "scaled_by_length_beyond": ("single", "it treats long rows otherwise"),
    "rotates_by_length": ("single", "it treats long rows otherwise"),
    "batch_matters_and_counts": ("single", "row 0 is not independent of the others"),
    "router_with_capacity": ("single", "gradients differ"),
    "router_with_large_capacity": ("single", "rows change with how many others are beside them"),
}
PACKED = (
    "clipped_logits", "large_logits_clipped", "normalised_weights", "one_layer_twice", "batch_matters",
    "temperature_by_position",
)  # fmt: skip
REFUSED = {
    "weak_mean_of_all": "depends on later ones",
    "not_causal_weakly": "depends on later ones",
    "scaled_by_length": "changes with the tokens behind it",
    "quantises_by_pass": "changes with the tokens behind it",
    "dropout_in_eval": "it draws random numbers",
    "rare_dropout_in_eval": "it draws random numbers",
    "remembers_the_last_pass": "the same row gives other logits the second time",
}


def own_logprobs(model, context, option) -> np.ndarray:
    """As lm-eval takes them: an answer's last token is predicted, not run."""
    logits_TV = model(input_ids=torch.tensor([(context + option)[:-1]]), use_cache=False).logits[0].double()
    picked = logits_TV.log_softmax(-1)[len(context) - 1 :]
    return picked[torch.arange(len(option)), torch.tensor(option)].numpy()


@pytest.mark.parametrize("name", [*SLOWER, *PACKED])
def test_the_fastest_exact_path_is_taken_and_gives_what_the_model_gives(name):
    path, why = SLOWER.get(name, ("packed", ""))
    model = getattr(fooling, name)()
    plain = copy.deepcopy(model)
    base = wrap_model(model, TinyTokenizer(), name=name)
    paths = base.paths
    assert ("packed" if paths.packed else "batched" if paths.batched else "single") == path
    assert why in paths.why if why else True
    draw = np.random.default_rng(3)
    shared = draw.integers(0, fooling.VOCABULARY, 200).tolist()
    # On both sides of the lengths at which some of the models change.
    rows = [OptionRow((*shared[: n - 2], 60, n % 7), ((1, 2, 3), (1, 4))) for n in (5, 12, 40, 70, 150)]
    with Bank(base, {"one": None, "two": None}) as bank:
        found = score_options(bank, rows)["two"]
    with torch.no_grad():
        for row, scored in zip(rows, found, strict=True):
            for option, ours in zip(row.options, scored, strict=True):
                np.testing.assert_allclose(ours, own_logprobs(plain, row.context, option), atol=3e-4)


def test_left_padding_that_shows_in_the_logits_alone_is_not_decoded_with():
    base = wrap_model(fooling.counts_faintly(), TinyTokenizer(), name="faint")
    assert base.paths.batched
    assert not base.paths.decoded


def test_weights_are_merged_only_where_the_layer_multiplies_by_them():
    assert not wrap_model(fooling.normalised_weights(), TinyTokenizer(), name="cosine").paths.merges
    assert wrap_model(fooling.llama(), TinyTokenizer(), name="plain").paths.merges


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_exact_path_is_refused_with_the_reason(name):
    with pytest.raises(TraitscopeError, match=REFUSED[name]):
        wrap_model(getattr(fooling, name)(), TinyTokenizer(), name=name)


def test_every_model_that_tries_to_fool_the_proof_is_judged():
    helpers = {"llama", "before_attention", "behind_layer", "earlier", "Any", "Callable"}
    builders = {
        name for name, thing in vars(fooling).items()
        if callable(thing) and not name.startswith("_") and getattr(thing, "__module__", "") == fooling.__name__
    }  # fmt: skip
    assert builders - helpers == {*SLOWER, *PACKED, *REFUSED}


def test_a_forward_of_somebody_elses_stays_where_it_is():
    """Hooks that move weights between devices replace the forward of a module: norms that have one are not fused."""
    model = fooling.before_attention(lambda x: x * 1.5)
    norm = model.model.layers[0].input_layernorm
    theirs = norm.forward
    base = wrap_model(model, TinyTokenizer(), name="hooked")
    assert base.packed
    assert norm.forward == theirs
    assert "forward" in vars(model.model.layers[1].input_layernorm)


def test_in_half_precision_gradients_may_differ_by_what_the_models_own_move_by(monkeypatch) -> None:
    base = wrap_model(deep_model(), TinyTokenizer(), name="deep")
    assert base.packed and base.paths.why == ""
    rows = Rows.draw(base.vocab_size, 100)
    expected = reference(base, rows)
    assert 0.2 < expected.grad_spread < 1
    monkeypatch.setattr(proof, "MOST_HALF", proof.HALF_GRADIENTS)
    assert proof._gradients(base, rows, expected).startswith("gradients differ by 0.2")


@pytest.mark.parametrize("lost", ["o_proj", "up_proj"])
def test_the_gradient_of_a_whole_kind_of_layer_is_missed_in_half_precision_too(lost: str) -> None:
    base = wrap_model(deep_model(), TinyTokenizer(), name="deep")
    rows = Rows.draw(base.vocab_size, 100)
    expected = reference(base, rows)
    adapter = expected.models["first"]
    assert isinstance(adapter, Adapter)
    for piece in adapter.pieces:
        if piece.name.endswith(lost):
            for part in piece.views(expected.grads["first"]):
                part.mul_(3)
    assert proof._gradients(base, rows, expected).startswith("gradients differ")
