"""Adapters that cannot run beside others (DoRA, trained embeddings, IA3): merged by PEFT once, then a model."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.store.adapters import CONFIG, WEIGHTS
from traitscope.store.cache import ELSEWHERE, cache_folder, made_once, no_bars
from traitscope.store.files import disk_errors, disk_problem
from traitscope.store.fingerprints import fingerprint, fingerprint_folder, hash_file
from traitscope.store.patterns import matched
from traitscope.store.peft_fields import MERGED, MERGED_METHODS, check_folder
from traitscope.store.weights import Entry, read_header
from traitscope.texts import count_of, shown

# Raised when a folder that was made before would not be made the same again.
FORMAT = 3
# Of log-probabilities, in nats, between the merged model and the adapter beside its base, both in fp32.
TOLERANCE = 2e-3
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_PAIR = (".lora_A.weight", ".lora_B.weight")
# Experts that lie in one tensor, which PEFT adapts as a parameter; the second of two as the layer below the first.
_FUSED = re.compile(r"\.(experts|base_layer)\.lora_[AB]\.weight")
_TOKENS = 24


def must_be_merged(folder: Path) -> bool:
    """Whether an adapter's folder holds more than LoRA on linear layers of the decoder, which the engine runs as it is.

    True for what PEFT can merge alone; what nobody can is told by ``check_folder``, as are damaged files.
    """
    paths = [folder / CONFIG, folder / WEIGHTS]
    if not all(path.is_file() for path in paths):
        return False
    return _must_be_merged(folder, *((path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@functools.lru_cache(maxsize=4096)
def _must_be_merged(folder: Path, *stamps: tuple[int, int]) -> bool:
    try:
        fields, names = json.loads((folder / CONFIG).read_bytes()), list(read_header(folder / WEIGHTS))
    except (ValueError, RecursionError, TraitscopeError):
        return False
    if not isinstance(fields, Mapping) or fields.get("peft_type") != "LORA":
        return isinstance(fields, Mapping) and fields.get("peft_type") in MERGED_METHODS
    if any(fields.get(key) for key in MERGED) or fields.get("bias", "none") != "none":
        return True
    # Modules inside the decoder have their layer's number in their name; embeddings and heads have none.
    inside = [name.endswith(_PAIR) and any(part.isdecimal() for part in name.split(".")) for name in names]
    return bool(names) and (not all(inside) or any(map(_FUSED.search, names)))


def adapter_mark(folder: Path) -> list[list[str]]:
    """Name and hash of all files of a folder from which a merged model is made: weights, configuration, tokenizer."""
    paths = [*folder.glob("adapter_*"), *folder.glob("*token*"), *folder.glob("*.jinja"), *folder.glob("vocab*")]
    return [[path.name, hash_file(path)] for path in sorted({*paths, *folder.glob("merges.txt")}) if path.is_file()]


def merged(folder: Path, base: Path) -> Path:
    """The folder of the model that an adapter makes of its base: safetensors in fp32 and a tokenizer; made once.

    It lies in ``merged/`` of the user's cache, named by the content of both. PEFT merges; what the saved model says of
    a row of tokens is held against PEFT's own adapter beside the base.

    Args:
        folder: the adapter's. base: the base model's folder.

    Raises:
        TraitscopeError: the adapter's files are damaged, PEFT does not take them on this base, or the merged model is
            another function.
    """
    check_folder(folder, merged=True)
    versions = {name: version(name) for name in ("peft", "transformers")}
    key = fingerprint([FORMAT, adapter_mark(folder), fingerprint_folder(base), versions])[:24]
    return made_once(
        cache_folder() / "merged" / key,
        lambda made: _merge_into(made, folder, base),
        {"made_from": [folder.name, base.name], **versions},
        f"the adapter {folder.name} is merged into its base once, for it cannot run beside others",
    )


def _merge_into(made: Path, folder: Path, base: Path) -> None:
    import warnings

    where = f"adapter {folder}"
    try:
        with warnings.catch_warnings(), no_bars():
            # PEFT warns of settings that take no effect.
            warnings.simplefilter("ignore")
            model, tokenizer, wanted = _merged_by_peft(folder, base, where)
            with disk_errors(made, elsewhere=ELSEWHERE):
                model.save_pretrained(made)
                tokenizer.save_pretrained(made)
            del model
            _refuse_another(made, wanted, where)
    except TraitscopeError:
        raise
    except Exception as error:  # PEFT, transformers and torch check what belongs together, with errors of their own
        told = no_memory(where) if is_out_of_memory(error) else disk_problem(error, made, elsewhere=ELSEWHERE)
        if told is not None:
            raise told from error
        if isinstance(error, KeyError) and str(error.args[0]).startswith("base_model."):
            raise _of_another([error.args[0]], "its file lacks", where) from error
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("Error(s) in loading")]
        first = next(filter(None, lines), type(error).__name__)
        other = "" if "merge" in first.lower() else "use the base that the adapter was trained on, or "
        raise TraitscopeError(
            f"PEFT cannot merge it into {base.name}: {first}", where=where, fix=f"{other}train it as a plain LoRA"
        ) from error


def _merged_by_peft(folder: Path, base: Path, where: str) -> tuple[Any, Any, Any]:
    """The merged model, its tokenizer, and what PEFT's adapter beside the base says of ``_row`` (log-probabilities)."""
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    named: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True, **named)
    if getattr(model.config, "quantization_config", None) is not None:
        raise TraitscopeError(
            "it must be merged into its base, and the base's weights are quantised",
            where=where,
            fix="name the base in full precision",
        )
    own = any((folder / name).is_file() for name in _TOKENIZER)
    tokenizer = AutoTokenizer.from_pretrained(folder if own else base, **named)
    header = read_header(folder / WEIGHTS)
    _resize(model, _embedded(header), len(tokenizer), where)
    config = PeftConfig.from_pretrained(folder)
    names = [name for name, _ in model.named_modules()]
    for key in ("target_modules", "exclude_modules"):
        pattern = getattr(config, key, None)
        if isinstance(pattern, str) and pattern.lower() != "all-linear":
            setattr(config, key, matched(pattern, names, f"{where}, {key}"))
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(config, key, None) or {}:
            matched(rf"(.*\.)?({pattern})", names, f"{where}, {key}")
    row, given, head = _row(model), model.get_input_embeddings(), model.get_output_embeddings()
    peft = PeftModel.from_pretrained(model, folder, config=config).eval()
    _refuse_other_tensors(peft, folder, header, where)
    # Before the two are parted: PEFT loads the adapter beside the base as it is, whose head may be its embedding.
    wanted = _says(peft, row)
    tied = _part(given, head)
    joined = peft.merge_and_unload()
    _refuse_no_rows(joined, where)
    if tied:
        _tell_ties(joined)
    return joined, tokenizer, wanted


def _refuse_other_tensors(peft: Any, folder: Path, header: Mapping[str, Entry], where: str) -> None:
    """Raises TraitscopeError where PEFT would start tensors at random that the file lacks, drop some, or cast some."""
    from peft.utils.save_and_load import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict

    # By their place in memory: PEFT calls them otherwise in the model than in the file, and some methods share them.
    named = get_peft_model_state_dict(peft, save_embedding_layers=False)
    saved = {tensor.data_ptr() for tensor in named.values()}
    told = set_peft_model_state_dict(peft, load_peft_weights(str(folder), device="cpu"))
    lacking, state = set(told.missing_keys), peft.state_dict()
    loaded = {tensor.data_ptr() for name, tensor in state.items() if name not in lacking}
    gone = [name for name in told.missing_keys if (place := state[name].data_ptr()) in saved and place not in loaded]
    for names, what in ((gone, "its file lacks"), (told.unexpected_keys, "its base has no place for")):
        if names:
            raise _of_another(names, what, where)
    for name, entry in header.items():
        # Some methods save indices: what is a weight in PEFT's model must be one in the file.
        if entry.dtype.startswith(("I", "U", "BOOL")) and (name not in named or named[name].is_floating_point()):
            raise TraitscopeError(
                f"holds {shown(name)} as {entry.dtype}: whole numbers are no weights",
                where=where,
                fix="save the adapter again in PEFT",
            )


def _of_another(names: Sequence[str], what: str, where: str) -> TraitscopeError:
    told = sorted(shown(name.replace(".default", "")) for name in names)
    return TraitscopeError(
        f"{what} {count_of(len(names), 'tensor')} of the adapter ({', '.join(told[:3])})",
        where=where,
        fix="save the adapter again in PEFT, or name the base that it was trained on",
    )


def _embedded(header: Mapping[str, Entry]) -> int | None:
    """Rows of the embedding or head that an adapter brings whole; None where it brings none."""
    ends = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "lm_head.weight", "embed_out.weight")
    return next((entry.shape[0] for name, entry in header.items() if name.endswith(ends)), None)


def _resize(model: Any, rows: int | None, tokens: int, where: str) -> None:
    """Gives embedding and head as many rows as the adapter brings; those that its file must fill are NaN until then.

    Raises:
        TraitscopeError: it has fewer than the base and than its tokenizer has tokens.
    """
    before = model.get_input_embeddings().weight.shape[0]
    if rows is None or rows == before:
        return
    if rows < min(before, tokens):
        raise TraitscopeError(
            f"its file has {rows} rows of embedding or head, and its tokenizer {tokens} tokens",
            where=where,
            fix="save the adapter again in PEFT, with its tokenizer",
        )
    model.resize_token_embeddings(rows, mean_resizing=False)
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        module.weight.data[before:] = float("nan")


def _refuse_no_rows(model: Any, where: str) -> None:
    """Raises TraitscopeError where rows that the base does not have are not in the file either: nobody trained them."""
    parts = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    lacking = [name for name, part in parts.items() if part.weight.isnan().any()]
    if lacking:
        raise TraitscopeError(
            f"it has more tokens than its base, and its file lacks their rows of the {' and the '.join(lacking)}",
            where=where,
            fix="save the adapter again in PEFT, with save_embedding_layers=True",
        )


def _part(given: Any, head: Any) -> bool:
    """Gives a tied head weights of its own: what is merged into one of the two must not change the other.

    Returns:
        Whether it was tied.
    """
    import torch

    if tied := given.weight.data_ptr() == head.weight.data_ptr():
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    return tied


def _tell_ties(model: Any) -> None:
    """Ties head and embedding again where they are the same weights still; PEFT's merge calls every model untied."""
    import torch

    given, head = model.get_input_embeddings(), model.get_output_embeddings()
    same = given.weight.shape == head.weight.shape and torch.equal(given.weight, head.weight)
    for config in (model.config, model.config.get_text_config()):
        if hasattr(config, "tie_word_embeddings"):
            config.tie_word_embeddings = same
    if same:
        head.weight = given.weight


def _row(model: Any) -> Any:
    """Tokens from the whole vocabulary, its last one among them: added tokens have the highest numbers."""
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    return torch.linspace(0, rows - 1, min(_TOKENS, rows)).round().long()[None]


def _says(model: Any, row: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=row).logits.float().log_softmax(-1)


def _refuse_another(made: Path, wanted: Any, where: str) -> None:
    """Raises TraitscopeError where the saved model says something else than the adapter did."""
    import torch
    from transformers import AutoModelForCausalLM

    named: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32, use_safetensors=True, **named)
    found = _says(model.eval(), _row(model))
    apart = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not apart <= TOLERANCE:
        raise TraitscopeError(
            f"merged into its base it is another function: log-probabilities differ by {apart:.2g} nats",
            where=where,
            fix="train it as a plain LoRA",
        )
