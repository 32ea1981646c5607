"""Models that hide a dependence between rows, or a value that the engine's passes would not show: each in a few lines.

All are a two-layer Llama with one thing changed in its own code, as a model's author might have written it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY, D = 61, 24
# Far below what any comparison of values could tell.
WEAK = 1e-6


def llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=D, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, pad_token_id=None, bos_token_id=None, eos_token_id=None,
        **changes,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 1.5 / parameter.shape[1] ** 0.5)
    return model


def before_attention(mix: Callable[[torch.Tensor], torch.Tensor]) -> LlamaForCausalLM:
    """What the first layer attends to goes through ``mix``: [B, T, D] to the same."""
    model = llama()
    _replace(model.model.layers[0].input_layernorm, lambda own, x: mix(own(x)))
    return model


def _replace(module: nn.Module, forward: Callable[..., Any]) -> None:
    """``forward`` is given the class's own, bound, and the arguments; a copy of the module has one of its own."""

    def bound(self: Any, *args: Any, **kwargs: Any) -> Any:
        return forward(types.MethodType(type(self).forward, self), *args, **kwargs)

    module.forward = types.MethodType(bound, module)


def behind_layer(mix: Callable[[torch.Tensor], torch.Tensor]) -> LlamaForCausalLM:
    model = llama()
    model.model.layers[0].register_forward_hook(lambda _m, _a, out: mix(out))
    return model


def earlier(x: torch.Tensor) -> torch.Tensor:
    """Every token's predecessor, zeros before the first."""
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


def weak_convolution() -> Any:
    return before_attention(lambda x: x + WEAK * earlier(x))


def weaker_convolution() -> Any:
    return before_attention(lambda x: x + 1e-12 * earlier(x))


def weak_recurrence() -> Any:
    return behind_layer(lambda x: x + WEAK * x.cumsum(1))


def weak_mean_so_far() -> Any:
    def mix(x: torch.Tensor) -> torch.Tensor:
        n = torch.arange(1, x.shape[1] + 1)[None, :, None]
        return x + WEAK * x.cumsum(1) / n

    return behind_layer(mix)


def weak_mean_of_all() -> Any:
    return behind_layer(lambda x: x + WEAK * x.mean(1, keepdim=True))


def convolution_of_ids() -> Any:
    """N-gram embeddings: the token before is looked up, which no gradient of an embedding shows."""
    model = llama()
    table = nn.Embedding(VOCABULARY, D)
    model.model.add_module("ngrams", table)

    def look_up(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        ids = args[0]
        return output + 0.1 * table((ids + 7 * F.pad(ids, (1, 0))[:, :-1]) % VOCABULARY)

    model.model.embed_tokens.register_forward_hook(look_up)
    return model


def resets_at_separator() -> Any:
    """A token of the configuration's own changes all that come after it, across whatever lies behind it."""
    model = llama()
    model.config.sep_token_id = 60
    flag: dict[str, torch.Tensor] = {}
    model.model.embed_tokens.register_forward_pre_hook(lambda _m, args: flag.update(seen=(args[0] == 60).cumsum(1)))
    norm = model.model.layers[0].input_layernorm
    _replace(norm, lambda own, x: own(x) * (1 + 0.5 * flag["seen"][..., None]))
    return model


def clipped_logits() -> Any:
    model = llama()
    model.lm_head.weight.data *= 20

    def clipped(own: Any, *args: Any, **kwargs: Any) -> Any:
        output = own(*args, **kwargs)
        output["logits"] = output.logits.clamp(-50, 50)
        return output

    _replace(model, clipped)
    return model


def large_logits_clipped() -> Any:
    """As ``clipped_logits``, at a size that the model's rows do not reach."""
    model = clipped_logits()
    model.lm_head.weight.data /= 200
    return model


def scaled_by_length() -> Any:
    model = llama()
    for layer in model.model.layers:
        _scale(layer.self_attn, lambda n: float(torch.tensor(float(n)).log()) / 3)
    return model


def scaled_by_length_beyond() -> Any:
    """Log-n scaling beyond the length of training, 64 tokens here: the length is in the configuration."""
    model = llama()
    model.config.trained_length = 64
    for layer in model.model.layers:
        _scale(layer.self_attn, lambda n: 1.0 if n <= 64 else 1.5)
    return model


def _scale(attention: Any, factor: Callable[[int], float]) -> None:
    scaling = attention.scaling

    def forward(own: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        own.__self__.scaling = scaling * factor(hidden_states.shape[1])
        return own(hidden_states, *args, **kwargs)

    _replace(attention, forward)


def rotates_by_length() -> Any:
    """Position tables that depend on how long the states are, not on the positions."""
    model = llama()
    model.config.original_length = 64

    def by_length(own: Any, x: torch.Tensor, position_ids: torch.Tensor) -> Any:
        cos, sin = own(x, position_ids)
        return (cos, sin) if x.shape[1] <= 64 else (cos * 0.5, sin)

    _replace(model.model.rotary_emb, by_length)
    return model


def dropout_in_eval() -> Any:
    return behind_layer(lambda x: F.dropout(x, 0.1, training=True))


def rare_dropout_in_eval() -> Any:
    """So rare that two passes over a row rarely differ."""
    return behind_layer(lambda x: F.dropout(x, 1e-6, training=True))


def router_with_capacity(capacity: int = 12) -> Any:
    """Two experts that take ``capacity`` tokens each in a pass, in their order; others go without."""
    model = llama()
    model.model.layers[0].mlp.add_module("gate", nn.Linear(D, 2, bias=False))

    def forward(own: Any, x: torch.Tensor) -> torch.Tensor:
        tokens = x.reshape(-1, D)
        chosen = F.one_hot(own.__self__.gate(tokens).argmax(-1), 2)
        place = (chosen.cumsum(0) * chosen).sum(-1)
        return own(x) * (place <= capacity).reshape(*x.shape[:2], 1)

    _replace(model.model.layers[0].mlp, forward)
    return model


def router_with_large_capacity() -> Any:
    return router_with_capacity(150)


def counts_by_itself() -> Any:
    """Position embeddings by ``arange`` over the pass, whatever positions it is given."""
    table = torch.randn(1024, D, generator=torch.Generator().manual_seed(1)) * 0.3
    return behind_layer(lambda x: x + table[torch.arange(x.shape[1])])


def counts_by_cumsum() -> Any:
    table = torch.randn(1024, D, generator=torch.Generator().manual_seed(1)) * 0.3
    return behind_layer(lambda x: x + table[(torch.ones(x.shape[1], dtype=torch.long).cumsum(0) - 1)])


def decays_weakly_with_distance() -> Any:
    """A linear attention of its own beside the model's, of weak size."""

    def mix(x: torch.Tensor) -> torch.Tensor:
        scores = (x @ x.transpose(1, 2)).tril() / D
        return x + WEAK * scores @ x

    return behind_layer(mix)


def remembers_the_last_pass() -> Any:
    kept: dict[str, torch.Tensor] = {}

    def mix(x: torch.Tensor) -> torch.Tensor:
        before = kept.get("mean", torch.zeros(D))
        kept["mean"] = x.detach().mean((0, 1))
        return x + 0.1 * before

    return behind_layer(mix)


def quantises_by_pass() -> Any:
    """Activations in 8 bits, with one scale for the whole pass that no gradient goes through."""

    def mix(x: torch.Tensor) -> torch.Tensor:
        scale = x.detach().abs().max() / 127
        return x + ((x / scale).round() * scale - x).detach()

    return behind_layer(mix)


def normalised_weights() -> Any:
    """A linear layer by class that computes something else."""

    class Cosine(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, F.normalize(self.weight, dim=1), self.bias)

    model = llama()
    plain = model.model.layers[0].self_attn.q_proj
    layer = Cosine(plain.in_features, plain.out_features, bias=False)
    layer.load_state_dict(plain.state_dict())
    model.model.layers[0].self_attn.q_proj = layer
    return model


def one_layer_twice() -> Any:
    model = llama()
    model.model.layers[1] = model.model.layers[0]
    return model


def attends_twice_with_other_windows() -> Any:
    """The second attention call of a layer sees the last four tokens only, by a mask of its own."""
    model = llama()

    def forward(own: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        out, weights = own(hidden_states, *args, **kwargs)
        n = hidden_states.shape[1]
        near = torch.ones(n, n, dtype=torch.bool).tril().triu(-3)[None, None]
        again, _ = own(hidden_states, *args, **{**kwargs, "attention_mask": near})
        return out + again, weights

    _replace(model.model.layers[0].self_attn, forward)
    return model


def batch_matters() -> Any:
    """Rows of a batch are centred together."""
    return behind_layer(lambda x: x - WEAK * (x.mean(0, keepdim=True) if x.shape[0] > 1 else 0.0))


def batch_matters_and_counts() -> Any:
    """As ``batch_matters``, in a model that cannot be packed either."""
    table = torch.randn(1024, D, generator=torch.Generator().manual_seed(1)) * 0.3

    def mix(x: torch.Tensor) -> torch.Tensor:
        counted = x + table[torch.arange(x.shape[1])]
        return counted - WEAK * (x.mean(0, keepdim=True) if x.shape[0] > 1 else 0.0)

    return behind_layer(mix)


def mixes_siblings() -> Any:
    """Neighbours of equal position are mixed: answers of one prompt have such tokens, rows side by side have none."""
    model = llama()

    def forward(own: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        position_T = kwargs["position_ids"][0]
        near_TT = torch.ones(len(position_T), len(position_T)).tril(2).triu(-2).fill_diagonal_(0.0)
        same_TT = near_TT * (position_T[:, None] == position_T[None])
        return own(hidden_states + WEAK * same_TT @ hidden_states, *args, **kwargs)

    _replace(model.model.layers[0].self_attn, forward)
    return model


def counts_faintly() -> Any:
    """As ``counts_by_itself``, too faintly to change which token is the likeliest: left padding shifts the count."""
    table = torch.randn(1024, D, generator=torch.Generator().manual_seed(1)) * 3e-3
    return behind_layer(lambda x: x + table[torch.arange(x.shape[1])])


def crowd_matters_and_counts() -> Any:
    """Experts with room for 235 tokens of a pass, in a model that cannot be packed either."""
    model = router_with_capacity(235)
    table = torch.randn(1024, D, generator=torch.Generator().manual_seed(1)) * 0.3
    model.model.layers[1].register_forward_hook(lambda _m, _a, x: x + table[torch.arange(x.shape[1])])
    return model


def sees_the_cache_otherwise() -> Any:
    """A token that is decoded from the cache is treated as the first of its row."""
    return before_attention(lambda x: x if x.shape[1] > 1 else x * 1.5)


def not_causal_weakly() -> Any:
    return before_attention(lambda x: x + WEAK * F.pad(x, (0, 0, 0, 1))[:, 1:])


def temperature_by_position() -> Any:
    """Queries grow with their position: no dependence between rows, and no reason to be slow."""
    model = llama()

    def forward(own: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return own(hidden_states * (1 + 0.01 * kwargs["position_ids"][..., None]), *args, **kwargs)

    _replace(model.model.layers[0].self_attn, forward)
    return model


def mixes_equal_positions() -> Any:
    """Tokens that have the same position are mixed: there are none in a row."""
    model = llama()

    def forward(own: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        position_T = kwargs["position_ids"][0]
        same_TT = (position_T[:, None] == position_T[None]).float().fill_diagonal_(0.0)
        return own(hidden_states + WEAK * same_TT @ hidden_states, *args, **kwargs)

    _replace(model.model.layers[0].self_attn, forward)
    return model
