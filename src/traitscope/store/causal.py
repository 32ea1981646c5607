"""Whether a model's files are a whole causal language model: told from configuration and headers, nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.store.model_config import check_files, refuse_quantised
from traitscope.store.model_errors import not_loaded
from traitscope.store.model_tensors import refuse_other_tensors
from traitscope.store.models import ModelSource, cached_folder
from traitscope.store.weights import Entry, has_weights, read_header, refuse_no_numbers, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GENERATION = "generation_config.json"
_CAUSAL = "name a causal language model (a decoder that continues text)"
_OTHER_HEADS = ("Classification", "QuestionAnswering", "MaskedLM", "MultipleChoice", "NextSentencePrediction")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A model without weights: what adapters are fitted to before a base is loaded.

    Attributes:
        model: transformers' own, on the device ``meta``.
        name: as the user wrote it.
        revision: as the user wrote it, or the commit in whose folder it lies.
        dtype: of adapters on it.
        tokens: rows of its embedding, or of its head where that has fewer.
        n_layers: of the decoder.
        prefix: of the names of modules inside its layers; empty where these were not found.
        linear_names: names of the linear layers in them.
    """

    model: Any
    name: str
    revision: str | None
    dtype: Any
    tokens: int
    n_layers: int
    prefix: str
    linear_names: list[str]

    def layer_of(self, name: str) -> int:
        """Index of the decoder layer (0-based) that a module belongs to."""
        return int(name.removeprefix(self.prefix).split(".", 1)[0])


def check_model(source: ModelSource, *, numbers: bool = True) -> Skeleton | None:
    """Sees that a model is a causal language model with all of its weights; None for one that is not on this disk.

    Args:
        source: the model.
        numbers: read the weights for NaN and infinities.

    Raises:
        TraitscopeError: it is none, its files are damaged or lack weights, or it needs code of its own.
    """
    target = source.resolved()
    folder = target if isinstance(target, Path) else cached_folder(target, source.revision)
    if folder is None:
        return None
    entries: dict[str, Entry] = {}
    check_files(folder)
    if isinstance(target, Path) or has_weights(folder):
        for path in weight_files(folder):
            found = read_header(path)
            if numbers:
                refuse_no_numbers(path, found)
            entries |= found
    return _skeleton(folder, source, entries)


def _skeleton(folder: Path, source: ModelSource, entries: Mapping[str, Entry]) -> Skeleton:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    where = f"model {source.model}"
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers has errors of every kind for what a configuration says
        raise not_loaded("its configuration cannot be read", error, folder, source.model) from error
    try:
        if (folder / GENERATION).is_file():
            GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise not_loaded(f"its {GENERATION} cannot be read", error, folder, source.model) from error
    _refuse_kind(config, where)
    refuse_quantised(quantised := getattr(config, "quantization_config", None), entries, where)
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if not isinstance(layers, int) or layers < 1:
        raise TraitscopeError(
            f"its configuration says {layers if layers is not None else 'no number of'} layers (num_hidden_layers)",
            where=where,
            fix=_CAUSAL,
        )
    if entries and layers > len(entries):
        raise TraitscopeError(
            f"its configuration says {layers:,} layers, and its files hold {len(entries):,} tensors",
            where=where,
            fix="save the model again, with all of its weights",
        )
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise not_loaded("no model can be made of its configuration", error, folder, source.model) from error
    if entries and quantised is None:
        refuse_other_tensors(model, entries, folder, source)
    if model.get_output_embeddings() is None:
        raise TraitscopeError("it has no language-model head", where=where, fix=_CAUSAL)
    tokens = min(e.weight.shape[0] for e in (model.get_input_embeddings(), model.get_output_embeddings()))
    prefix = _prefix(model, layers)
    commit = folder.name if isinstance(source.located(), str) else source.revision
    dtype = torch.float64 if source.dtype == "fp64" else torch.float32
    return Skeleton(model, source.model, commit, dtype, tokens, layers, prefix, list(_linear(model, prefix)))


def _refuse_kind(config: Any, where: str) -> None:
    """Models that read both ways, that read with an encoder, or whose head says something else than the next token."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind, named = config.model_type, " ".join(getattr(config, "architectures", None) or [])
    what = None
    if getattr(config, "is_encoder_decoder", False):
        what = "an encoder-decoder"
    elif type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        what = "no language model that continues text"
    elif type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", True):
        what = "a masked language model, which reads both ways"
    elif any(head in named for head in _OTHER_HEADS):
        what = "a model with another head"
    if what is not None:
        raise TraitscopeError(
            f"it is {what} (model_type {kind}, {named or 'no architecture'})", where=where, fix=_CAUSAL
        )


def _prefix(model: Any, layers: int) -> str:
    """The name, with a dot, of the list of as many modules as the decoder has layers; empty where there is none."""
    import torch

    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers
    }
    return f"{max(lists, key=lambda name: sum(p.numel() for p in lists[name].parameters()))}." if lists else ""


def _linear(model: Any, prefix: str) -> Iterator[str]:
    import torch

    for name, module in model.named_modules():
        if (
            prefix
            and name.startswith(prefix)
            and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D")
        ):
            yield name


def check_tokens(tokenizer: PreTrainedTokenizerBase, skeleton: Skeleton, source: ModelSource) -> None:
    """Raises TraitscopeError where a tokenizer belongs to another model, which has fewer tokens.

    A special token that no text becomes may lie beyond the embedding.
    """
    unused = {place for place, token in tokenizer.added_tokens_decoder.items() if token.special}
    unused -= {tokenizer.bos_token_id, tokenizer.eos_token_id}
    highest = max((place for place in tokenizer.get_vocab().values() if place not in unused), default=-1)
    by_place = {place: token for token, place in tokenizer.get_vocab().items()}
    if len(by_place) < len(tokenizer.get_vocab()):
        one = next(token for token, place in tokenizer.get_vocab().items() if by_place[place] != token)
        place = tokenizer.get_vocab()[one]
        raise TraitscopeError(
            f"its tokenizer has two tokens {place}, {one!r} and {by_place[place]!r}",
            where=f"model {source.model}",
            fix="take the tokenizer that belongs to the model: every token needs a number of its own",
        )
    if highest < 0:
        raise TraitscopeError(
            "its tokenizer knows no token", where=f"model {source.model}", fix="save the tokenizer again"
        )
    if highest >= skeleton.tokens:
        raise TraitscopeError(
            f"its tokenizer has a token {highest}, and its embedding {skeleton.tokens} tokens",
            where=f"model {source.model}",
            fix="take the tokenizer that belongs to the model, or a model whose embedding was resized for it",
        )
