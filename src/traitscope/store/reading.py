"""What a model's files say about how it reads text: its tokenizer's files, its chat templates, its positions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import TEMPLATES, fingerprint, model_files
from traitscope.store.model_errors import not_loaded
from traitscope.store.models import ModelSource, cached_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The function through which transformers tells a chat template the time.
CLOCK = "strftime_now"

# Names of configuration entries that set how many tokens a learnt sparse attention keeps.
_SPARSE = re.compile(r"index\w*(top_?k|budget)|sparse\w*top_?k|top_?k\w*(index|block)")
_BLOCKS = re.compile(r"top_?k_blocks?$")


def model_folder(source: ModelSource) -> Path | None:
    """The folder of a model's files; None for a Hub model that is not on this disk."""
    target = source.resolved()
    return target if isinstance(target, Path) else cached_folder(target, source.revision)


def prints_date(source: ModelSource) -> bool | None:
    """Whether a chat template of the model asks for the time; None where its files are not on this disk."""
    try:
        folder = model_folder(source)
    except TraitscopeError:
        return None
    if folder is None:
        return None
    paths = [folder / "chat_template.jinja", folder / "tokenizer_config.json", *(folder / TEMPLATES).glob("*.jinja")]
    return any(CLOCK in path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file())


def reading_mark(source: ModelSource) -> str:
    """What stands for tokenizer and configuration of a model: a hash of the files, or the Hub's commit."""
    if isinstance(target := source.resolved(), Path):
        return fingerprint(model_files(target, weights=False))
    folder = cached_folder(target, source.revision)
    return f"{target}@{folder.name if folder is not None else source.revision}"


def max_positions(source: ModelSource) -> int | None:
    """How many tokens a row may have; None where the model's configuration sets no limit.

    Raises:
        TraitscopeError: the configuration cannot be read, or the Hub cannot be reached.
    """
    from transformers import AutoConfig

    target = source.fetched(weights=False)
    try:
        config = AutoConfig.from_pretrained(target, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers has errors of every kind for what a configuration says
        raise not_loaded("its configuration cannot be read", error, target, source.model) from error
    return positions_of(config)


def positions_of(config: Any) -> int | None:
    """Tokens of the longest row of a model; None where its configuration sets no limit.

    Where a learnt sparse attention would leave tokens out, it is the number that it keeps: what it leaves out depends
    on tokens that come later, and longer rows have no value of their own. BigBird's blocks are the same from the length
    on at which it takes them instead of full attention.
    """
    numbers = numbers_in(config)
    limits = [n * _tokens_of_one(name, numbers) for name, n in numbers.items() if _SPARSE.search(name)]
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        # As ``BigBirdModel.forward`` has it; up to there it switches itself to full attention, for good.
        limits.append((5 + 2 * config.num_random_blocks) * config.block_size)
    places = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min([*limits, *([int(places)] if places else [])], default=None)


def _tokens_of_one(name: str, numbers: Mapping[str, int]) -> int:
    """Tokens of one thing that an entry counts: 1, but of blocks those of a block."""
    block = _BLOCKS.sub("block_size", name)
    return 1 if block == name else numbers.get(block, 1)


def numbers_in(config: Any) -> dict[str, int]:
    """All whole numbers of a configuration, those in its parts, lists and maps too, by their names."""
    found: dict[str, int] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, bool):
            return
        if isinstance(value, int):
            found[name] = value
        elif isinstance(value, Mapping):
            for key, part in value.items():
                walk(f"{name}.{key}", part)
        elif isinstance(value, (list, tuple)):
            for number, part in enumerate(value):
                walk(f"{name}.{number}", part)

    walk("", config.to_dict())
    return found


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone; the network is asked only for a Hub id.

    Raises:
        TraitscopeError: there is none, or the Hub cannot be reached.
    """
    from transformers import AutoTokenizer

    target = source.fetched(weights=False)
    try:
        return AutoTokenizer.from_pretrained(target, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers, sentencepiece and transformers each have their own
        raise not_loaded("its tokenizer cannot be loaded", error, target, source.model) from error
