"""A base and its adapters as a model of lm-evaluation-harness, under the name ``traitscope``."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string

from traitscope.compute.requests import Answers, answer_requests
from traitscope.config.lm_eval import greedy_problem
from traitscope.engine import Adapter, Bank, load_base
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean
from traitscope.tasks.encode import encode_text, prefix_token
from traitscope.tasks.encode_requests import EncodedRequest, encode_request, harness_positions
from traitscope.tasks.harness.requests import Prompt, Request, generation_settings

# The model that is the base alone.
BASE = "base"

# Says in a cache whose answers it holds.
_OWNER = "traitscope model"

log = logging.getLogger(__name__)

_Key = tuple[Any, ...]


def adapter_folders(adapters: str | Sequence[str | Path] | Mapping[str, str | Path]) -> dict[str, Path]:
    """Folders of adapters by name: ``a;b``, ``x=a;y=b``, a list or a mapping. A folder's name is its adapter's.

    Raises:
        TraitscopeError: two have one name, or one is called ``base``.
    """
    if isinstance(adapters, Mapping):
        pairs = [(str(name), Path(folder)) for name, folder in adapters.items()]
    else:
        parts = adapters.split(";") if isinstance(adapters, str) else list(map(str, adapters))
        split = [part.partition("=") for part in parts if part.strip()]
        pairs = [(name, Path(path)) if path else (Path(name).name, Path(name)) for name, _, path in split]
    found: dict[str, Path] = {}
    for name, folder in pairs:
        if name in found or name == BASE:
            raise TraitscopeError(
                f"two models are called {name!r}",
                where="adapters",
                fix="name them apart: adapters=first=folder/a;second=other/a",
            )
        found[name] = folder.expanduser()
    return found


@contextmanager
def own_cache(cache: str | Path | None, name: str) -> Iterator[str | None]:
    """One model's own part of a cache of answers (``use_cache``), while the harness reads and writes it.

    Raises:
        TraitscopeError: the cache has no name, or its file is none of the harness'.
    """
    if cache is None:
        yield None
        return
    if not str(cache):
        raise TraitscopeError("the cache has no name", where="use_cache", fix="name a file, or leave use_cache out")
    own = f"{cache}-{name}"
    try:
        yield own
    except sqlite3.DatabaseError as error:
        raise TraitscopeError(
            f"the cache {own}_rank0.db cannot be read or written: {error}",
            where="use_cache",
            fix="remove the file, or name another cache",
        ) from error


class _Kept:
    """The model that a command line goes on with; None outside of one."""

    lm: TraitscopeLM | None = None
    keeping = False


@contextmanager
def kept_model() -> Iterator[None]:
    """Within it the harness loads one model and gets it again for every ``peft``, with the answers made so far."""
    _Kept.keeping = True
    try:
        yield
    finally:
        if _Kept.lm is not None:
            _Kept.lm.close()
        _Kept.lm, _Kept.keeping = None, False


@register_model("traitscope")
class TraitscopeLM(TemplateLM):
    """A base and its adapters as one model of lm-evaluation-harness, which gives one of them's answers at a time.

    Args:
        base: a Hub id, a folder, a GGUF file or a built-in base; ``pretrained`` is the same.
        adapters: PEFT folders, as ``adapter_folders`` takes them.
        peft: the name of the adapter whose answers are given; default: the only one, or the base where there is none.
        revision, dtype, device: as in ``load_base``.
        tokens_per_pass: most tokens in one pass; ``auto``: what fits.
        max_length: positions that the harness counts with; default: the base's.
        batch_size, max_batch_size: taken, since the harness always gives them; passes are made of tokens here.

    Raises:
        TraitscopeError: a model cannot be loaded, or there is no adapter of that name.
    """

    def __init__(
        self,
        base: str | None = None,
        adapters: str | Sequence[str | Path] | Mapping[str, str | Path] = (),
        peft: str | None = None,
        *,
        pretrained: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        tokens_per_pass: int | str = "auto",
        max_length: int | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        named = base or pretrained
        if named is None or (base and pretrained and base != pretrained):
            raise TraitscopeError("one base must be named", where="model_args", fix="write base=<folder or Hub id>")
        self.folders = adapter_folders(adapters)
        dtype = {"float32": "fp32", "bfloat16": "bf16", "float64": "fp64", "float16": "fp16"}.get(dtype, dtype)
        self.base = load_base(named, revision=revision, dtype=dtype, device=device or "auto")
        loaded = {name: Adapter.load(folder, self.base) for name, folder in self.folders.items()}
        self.bank = Bank(self.base, {BASE: None, **loaded})
        self._marks = {BASE: "", **{name: adapter.fingerprint for name, adapter in loaded.items()}}
        self.tokenizer = self.base.tokenizer
        self.tokens_per_pass = tokens_per_pass
        self._max_length = max_length
        self._answers: dict[_Key, dict[str, Any]] = {}
        self._device = self.base.device
        if peft is None and len(self.folders) > 1:
            raise TraitscopeError(
                f"there are {len(self.folders)} adapters, and the harness has one result",
                where="model_args",
                fix="add peft=<name>; `python -m traitscope.lm_eval` gives one result each",
            )
        self.chosen = BASE
        self.choose(peft or next(iter(self.folders), BASE))

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> TraitscopeLM:
        """The model that these arguments describe, loaded anew as HFLM is, since what is in its folders may change."""
        given = {**{key: one for key, one in (additional_config or {}).items() if one is not None}, **arg_dict}
        if "device" not in arg_dict and not torch.cuda.is_available():
            # The harness' command line says cuda:0 where nobody says anything.
            given.pop("device", None)
        if _Kept.lm is not None:
            _Kept.lm.choose(given["peft"])
            return _Kept.lm
        lm = cls(**given)
        if _Kept.keeping:
            _Kept.lm = lm
        return lm

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> TraitscopeLM:
        """The same from ``base=...,adapters=a;b``."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def choose(self, name: str) -> None:
        """From here on the answers are those of this adapter, or of the base (``base``).

        Raises:
            TraitscopeError: there is none of that name.
        """
        if name not in self.bank.names:
            raise TraitscopeError(
                f"there is no adapter {name!r}", where="peft", fix=did_you_mean(name, list(self.bank.names))
            )
        self.chosen = name

    def set_cache_hook(self, cache_hook: Any) -> None:
        """The harness' cache of answers (``use_cache``), whose keys do not say whose they are.

        Raises:
            TraitscopeError: it holds answers of another model.
        """
        cache = cache_hook.dbdict
        if cache is not None:
            mine = json.dumps([self.base.fingerprint, self.base.precision, self.max_length, self._marks[self.chosen]])
            if len(cache) and cache.get(_OWNER) != mine:
                raise TraitscopeError(
                    f"the cache {cache.filename} holds answers of another model than {self.chosen!r}",
                    where="use_cache",
                    fix="name another one, or remove the file",
                )
            cache[_OWNER] = mine
        super().set_cache_hook(cache_hook)

    def close(self) -> None:
        """Gives the base its own layers back."""
        self.bank.close()

    # ---- what the harness asks of a model

    @property
    def eot_token_id(self) -> int:
        """The end-of-sequence token."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token in front of an empty context."""
        return prefix_token(self.tokenizer)

    @property
    def max_length(self) -> int:
        """The positions that the harness counts with."""
        return self._max_length or harness_positions(self.tokenizer, self.base.max_positions)

    @property
    def tokenizer_name(self) -> str:
        """For the harness' own cache of requests."""
        return self.base.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """A text's tokens."""
        if add_special_tokens is None:
            return encode_text(self.tokenizer, string)
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Turns as the tokenizer's template writes them; without the system's where it refuses that, as HFLM does."""
        how = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        try:
            return str(self.tokenizer.apply_chat_template(chat_history, tokenize=False, **how))
        except Exception:
            kept = [turn for turn in chat_history if turn["role"] != "system"]
            return str(self.tokenizer.apply_chat_template(kept, tokenize=False, **how))

    def get_model_info(self) -> dict[str, Any]:
        """What a results file says of the model."""
        return {
            "model_num_parameters": sum(weight.numel() for weight in self.base.model.parameters()),
            "model_dtype": self.base.precision,
            "model_revision": self.base.revision or "main",
            "model_sha": self.base.fingerprint,
            "adapter": self.chosen,
        }

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood, whether it is the greedy continuation) of every (context, continuation)."""
        asked = [Request("loglikelihood", Prompt(one.args[0]), one.args[1]) for one in requests]
        return [(total, greedy) for total, greedy in self._given(requests, asked)]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of every text, window by window."""
        return self._given(requests, [Request("loglikelihood_rolling", Prompt(""), one.args[0]) for one in requests])

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The greedy continuation of every context.

        Raises:
            TraitscopeError: a task draws its answers at random.
        """
        asked = []
        for one in requests:
            context, settings = one.args
            if (problem := greedy_problem(settings, "add --gen_kwargs do_sample=False,temperature=0.0")) is not None:
                why, fix = problem
                raise TraitscopeError(
                    f"{why}, and answers are generated greedily", where=f"task {one.task_name}", fix=fix
                )
            asked.append(Request("generate_until", Prompt(context), "", *generation_settings(settings)))
        return self._given(requests, asked)

    def _loglikelihood_tokens(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
        encoded = [EncodedRequest("loglikelihood", ((tuple(context), tuple(said)),)) for _, context, said in requests]
        found = self._ask([encoded])[self.chosen]
        return [tuple(found.response(one)) for one in encoded]  # type: ignore[arg-type, misc]

    def _given(self, requests: Sequence[Any], asked: Sequence[Request]) -> list[Any]:
        """The chosen model's answers; what was asked before is not computed again."""
        keys = [(one.kind, one.prompt.text, one.text, one.until, one.max_tokens) for one in asked]
        fresh: dict[_Key, EncodedRequest] = {}
        groups: dict[Any, list[EncodedRequest]] = defaultdict(list)
        for instance, request, key in zip(requests, asked, keys, strict=True):
            if key not in self._answers and key not in fresh:
                fresh[key] = encode_request(request, self.tokenizer, self.max_length)
                groups[instance.task_name, instance.doc_id].append(fresh[key])
        if fresh:
            log.info("answering %d requests for %d models", len(fresh), len(self.bank.names))
            for name, answers in self._ask(list(groups.values())).items():
                for key, encoded in fresh.items():
                    self._answers.setdefault(key, {})[name] = answers.response(encoded)
        return [self._answers[key][self.chosen] for key in keys]

    def _ask(self, groups: Sequence[Sequence[EncodedRequest]]) -> dict[str, Answers]:
        return answer_requests(self.bank, groups, tokens_per_pass=self.tokens_per_pass)
