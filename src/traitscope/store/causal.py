"""Whether a model's files are a whole causal language model: told from configuration and headers, nothing is loaded."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.store.files import disk_problem
from traitscope.store.hub import not_at_hand
from traitscope.store.models import ModelSource, cached_folder
from traitscope.store.weights import INDEX, WEIGHTS, Entry, read_header, refuse_no_numbers, refuse_pointer, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
_OWN_CLASS = "take a model whose class is part of transformers itself"
_CAUSAL = "name a causal language model (a decoder that continues text)"
_OTHER_HEADS = ("Classification", "QuestionAnswering", "MaskedLM", "MultipleChoice", "NextSentencePrediction")
# Beyond it a number of a configuration is no size of anything.
_MOST = 10**11


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A model without weights.

    Attributes:
        tokens: rows of its embedding, or of its head where that has fewer.
        layers: of the decoder.
        linear: names of the linear layers in them.
    """

    tokens: int
    layers: int
    linear: tuple[str, ...]


def named_code(folder: Path) -> str | None:
    """Which file of a model folder names code of its own that transformers would have to run; None if none does."""
    for name in (CONFIG, TOKENIZER):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = json.loads((folder / name).read_bytes())
            if isinstance(said, dict) and (named := said.get("auto_map")):
                parts = named.values() if isinstance(named, dict) else [named]
                files = sorted({f"{str(part).split('--')[-1].split('.')[0]}.py" for part in _flat(parts) if part})
                return f"{name} names code of its own ({', '.join(files)})"
    return None


def _flat(parts: Any) -> Iterator[Any]:
    for part in parts:
        yield from part if isinstance(part, list) else [part]


def not_loaded(what: str, error: BaseException, target: str | Path, model: str | Path) -> TraitscopeError:
    """The error for a part of a model that a library could not load.

    Args:
        what: the beginning of the sentence, such as "could not be loaded".
        error: the library's.
        target: the folder, or the Hub id.
        model: the model as the user wrote it.
    """
    where, local = f"base model {model}", isinstance(target, Path)
    if is_out_of_memory(error):
        return no_memory(where)
    if (told := disk_problem(error, where, elsewhere="give the user who runs this the right to it")) is not None:
        return told
    if not local and (told := not_at_hand(str(target))) is not None:
        return told
    words = str(error).strip()
    if "trust_remote_code" in words or "custom code" in words:
        code = named_code(target) if isinstance(target, Path) else None
        return TraitscopeError(
            f"{code or 'it brings code of its own'}, which is never run", where=where, fix=_OWN_CLASS
        )
    first = (words.splitlines() or [""])[0] or type(error).__name__
    fix = "check the folder" if local else "check the Hub id, the revision, the network and your access token"
    return TraitscopeError(f"{what}: {first}", where=where, fix=fix)


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
    _refuse_sizes(folder)
    # Of a Hub model the configuration may be here before the weights are.
    if isinstance(target, Path) or any((folder / name).exists() for name in (WEIGHTS, INDEX)):
        for path in weight_files(folder):
            found = read_header(path)
            if numbers:
                refuse_no_numbers(path, found)
            entries |= found
    return _skeleton(folder, source, entries)


def _refuse_sizes(folder: Path) -> None:
    """Numbers that transformers would make lists and tensors of before it looks at them."""
    path = folder / CONFIG
    if not path.is_file():
        raise TraitscopeError(
            f"no {CONFIG}: this is not a Hugging Face model folder",
            where=str(folder),
            fix="name the folder that save_pretrained wrote",
        )
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix != ".safetensors":
            refuse_pointer(file)
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise TraitscopeError("is no JSON mapping of keys to values", where=str(path), fix="save the model again")
    for name, value in _numbers(said):
        size = name.endswith(("_size", "_layers", "_heads", "n_layer", "n_head", "n_embd", "d_model"))
        if abs(value) > _MOST or (size and value < 0) or (size and name.endswith("hidden_size") and value == 0):
            raise TraitscopeError(f"{name} is {value}, which cannot be", where=str(path), fix="save the model again")


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, str(key))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def _skeleton(folder: Path, source: ModelSource, entries: Mapping[str, Entry]) -> Skeleton:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    where = f"base model {source.model}"
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers has errors of every kind for what a configuration says
        raise not_loaded("its configuration cannot be read", error, folder, source.model) from error
    _refuse_kind(config, where)
    layers = config.get_text_config().num_hidden_layers
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
    if entries and getattr(config, "quantization_config", None) is None:
        _refuse_lacking(model, entries, folder, source)
    if model.get_output_embeddings() is None:
        raise TraitscopeError("it has no language-model head", where=where, fix=_CAUSAL)
    tokens = min(e.weight.shape[0] for e in (model.get_input_embeddings(), model.get_output_embeddings()))
    return Skeleton(tokens, layers, tuple(_linear(model, layers)))


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


def _refuse_lacking(model: Any, entries: Mapping[str, Entry], folder: Path, source: ModelSource) -> None:
    """Has transformers put tensors without content under the files' names: it knows which names are renamed or tied."""
    import torch

    where = f"base model {source.model}"
    numbers = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    odd = next((name for name, entry in entries.items() if entry.dtype not in numbers), None)
    if odd is not None and set(model.state_dict()) & {odd}:
        raise TraitscopeError(
            f"the weights {odd} are {entries[odd].dtype} numbers, which no layer can multiply with",
            where=where,
            fix="save the model again in float32, float16 or bfloat16",
        )
    empty = {
        name: torch.empty(entry.shape, dtype=numbers.get(entry.dtype, torch.float32), device="meta")
        for name, entry in entries.items()
    }
    try:
        with _silent():
            _, info = type(model).from_pretrained(
                None,
                config=model.config,
                state_dict=empty,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                device_map={"": "meta"},
            )
    except Exception as error:
        raise not_loaded("its weights do not fit its configuration", error, folder, source.model) from error
    odd_shapes = sorted(str(entry[0]) for entry in info["mismatched_keys"])
    if odd_shapes:
        raise TraitscopeError(
            f"{len(odd_shapes)} tensors have another shape than its configuration says ({', '.join(odd_shapes[:3])})",
            where=where,
            fix="take configuration and weights of one model",
        )
    refuse_missing(info["missing_keys"], where)


def refuse_missing(missing: Any, where: str) -> None:
    """Raises TraitscopeError where files lack tensors: transformers draws them at random and goes on."""
    names = sorted(missing)
    if names:
        raise TraitscopeError(
            f"its files lack {len(names)} of the model's tensors ({', '.join(names[:3])})",
            where=where,
            fix="save the model again, with all of its weights; a decoder without its own head is no base",
        )


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without transformers' report and bars: what is wrong is told in our own words."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()


def _linear(model: Any, layers: int) -> Iterator[str]:
    """The linear layers in the list of as many modules as the decoder has layers."""
    import torch

    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers
    }
    if not lists:
        return
    prefix = max(lists, key=lambda name: sum(p.numel() for p in lists[name].parameters())) + "."
    for name, module in model.named_modules():
        if name.startswith(prefix) and (isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"):
            yield name


def check_tokens(tokenizer: PreTrainedTokenizerBase, skeleton: Skeleton, source: ModelSource) -> None:
    """Raises TraitscopeError where a tokenizer belongs to another model, which has fewer tokens.

    A special token that no text becomes may lie beyond the embedding.
    """
    unused = {place for place, token in tokenizer.added_tokens_decoder.items() if token.special}
    unused -= {tokenizer.bos_token_id, tokenizer.eos_token_id}
    highest = max((place for place in tokenizer.get_vocab().values() if place not in unused), default=-1)
    if highest < 0:
        raise TraitscopeError(
            "its tokenizer knows no token", where=f"base model {source.model}", fix="save the tokenizer again"
        )
    if highest >= skeleton.tokens:
        raise TraitscopeError(
            f"its tokenizer has a token {highest}, and its embedding {skeleton.tokens} tokens",
            where=f"base model {source.model}",
            fix="take the tokenizer that belongs to the model, or a model whose embedding was resized for it",
        )
