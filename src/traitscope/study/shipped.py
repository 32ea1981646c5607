"""``Belt``: an exported belt that is loaded again, routes prompts and answers them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.records import Generated, PromptRow
from traitscope.study.belt_file import BeltFile, check_file, read_belt, vllm_command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from traitscope.belt import Router
    from traitscope.engine import Adapter, Base


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a prompt goes.

    Attributes:
        model: name of an adapter, or of the base.
        place: the place (a training set, or an adapter) that it lies nearest to.
        distance: from that place, in the rule's unit; beyond the router's ``far`` it goes to the base.
    """

    model: str
    place: str
    distance: float


class Belt:
    """A tool-belt: adapters of one base, and the router that chooses among them without a label.

    Make one with ``Belt.load``; base and adapters are loaded when they are first needed.

    Attributes:
        folder: where it lies.
        content: what ``belt.json`` says: base, adapters, router, the tables it was judged by.
    """

    def __init__(self, folder: Path, content: BeltFile, base: str | Path | None, device: str) -> None:
        self.folder = folder
        self.content = content
        self._named = base
        self._device = device

    @classmethod
    def load(cls, path: Path | str, *, base: str | Path | None = None, device: str = "auto") -> Belt:
        """An exported belt.

        Args:
            path: the folder that ``traitscope belt --out`` wrote.
            base: folder or Hub id of the base, where it is not to be had under the name in ``belt.json``.
            device: where it computes.

        Raises:
            TraitscopeError: no such folder, one of another format, or a damaged one.
        """
        return cls(Path(path), read_belt(Path(path)), base, device)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the adapters, then the base's."""
        return (*self.content["adapters"], "base")

    @property
    def vllm_command(self) -> str:
        """The command that serves it, inside its folder."""
        return vllm_command(self.content)

    @cached_property
    def base(self) -> Base:
        """The loaded base.

        Raises:
            TraitscopeError: it is not here, or is another one than the adapters were trained on.
        """
        from traitscope.engine import load_base
        from traitscope.store.models import cached_folder, resolve_model

        said = self.content["base"]
        if self._named is None and said["local"]:
            raise TraitscopeError(
                f"its base is a folder named {said['model']}",
                where=str(self.folder),
                fix="give load(path, base=...)",
            )
        if self._named is not None and (not isinstance(self._named, str | Path) or not str(self._named)):
            raise TraitscopeError(f"{self._named!r} names no base", where="base", fix="give a folder or a Hub id")
        named = said["model"] if self._named is None else self._named
        found = resolve_model(named)
        if isinstance(found, Path):
            self._check_base(found)
            return load_base(str(named), dtype=said["dtype"], device=self._device)
        base = load_base(str(named), revision=said["revision"], dtype=said["dtype"], device=self._device)
        folder = cached_folder(str(named), said["revision"])
        assert folder is not None, "it was just loaded from there"
        self._check_base(folder)
        return base

    def _check_base(self, folder: Path) -> None:
        """Refuses a base of which a file is not as it was when the belt was exported."""
        from traitscope.store.fingerprints import model_files

        wanted, have = self.content["base"]["files"], model_files(folder)
        other = [name for name, digest in wanted.items() if have.get(name) != digest]
        # Texts and templates may lie beside them; weights, and what is laid over weights, may not.
        laid_over = [name for name in have if ".safetensors" in name or name.startswith("adapter_")]
        other += [name for name in laid_over if name not in wanted]
        if other:
            raise TraitscopeError(
                f"is another base than the adapters were trained on: see {', '.join(other[:4])}",
                where=str(folder),
                fix=f"name the base of the study, {self.content['base']['model']}",
            )

    @cached_property
    def adapters(self) -> dict[str, Adapter]:
        """The loaded adapters by name.

        Raises:
            TraitscopeError: a file is missing or damaged.
        """
        from traitscope.engine import Adapter

        found = {}
        for name, part in self.content["adapters"].items():
            for file, digest in part["files"].items():
                check_file(self.folder / part["folder"] / file, digest)
            found[name] = Adapter.load(self.folder / part["folder"], self.base)
        return found

    @cached_property
    def router(self) -> Router:
        """The router.

        Raises:
            TraitscopeError: the belt was exported without one, its arrays are damaged, or its rule is not here.
        """
        import numpy as np
        from safetensors.numpy import load_file

        from traitscope.belt import ROUTERS, Router

        said = self.content["router"]
        if said is None:
            raise TraitscopeError("has no router", where=str(self.folder), fix="export it with --rule centroid")
        if said["rule"] not in ROUTERS:
            raise TraitscopeError(
                f"its router {said['rule']!r} is not registered here",
                where=str(self.folder),
                fix=f"install the plugin that has it; here are {', '.join(ROUTERS.names())}",
            )
        file, places = self.folder / said["arrays"], tuple(said["places"])
        check_file(file, said["sha256"])
        arrays = dict(load_file(file))
        gain_P = np.full(len(places), np.nan)
        return Router(said["rule"], arrays, places, tuple(said["serves"]), gain_P, said["far"], said["fallback"])

    def route(self, prompts: Iterable[str]) -> list[Routed]:
        """Which model each prompt goes to, and how near it lies.

        Args:
            prompts: texts as the model reads them (a chat's with its template); white space at the end does not count.

        Raises:
            TraitscopeError: a prompt is no text or too long, or there is no router.
        """
        texts = _texts(prompts)
        if not texts:
            return []
        names, place_S, distance_S = self.router.route(self._read(texts))
        places = [self.router.places[place] for place in place_S.tolist()]
        return [Routed(*found) for found in zip(names, places, distance_S.tolist(), strict=True)]

    def generate(
        self,
        prompts: Iterable[str],
        max_new_tokens: int,
        *,
        models: Sequence[str] | None = None,
        stop: Sequence[str] = (),
    ) -> list[Generated]:
        """Every prompt's greedy continuation by the model it goes to, all in one batch.

        Args:
            prompts: texts as the model reads them.
            max_new_tokens: where an answer is cut off.
            models: of each prompt its model, in place of the router's choice.
            stop: strings that end an answer.

        Raises:
            TraitscopeError: as ``route``; not one model of the belt for each prompt, or no number of tokens.
        """
        from traitscope.engine import Bank, generate_each

        texts = _texts(prompts)
        if isinstance(stop, str) or not isinstance(stop, Iterable) or not all(isinstance(one, str) for one in stop):
            raise TraitscopeError(f"{stop!r} is no list of texts", where="stop", fix="give a list of texts")
        asked = None if models is None else [*models]
        if asked is not None and (len(asked) != len(texts) or any(name not in self.models for name in asked)):
            strange = ", ".join(str(name) for name in asked if name not in self.models)
            raise TraitscopeError(
                f"no model of this belt is named {strange}" if strange else f"{len(asked)} for {len(texts)} prompts",
                where="models",
                fix=f"name one of {', '.join(self.models)} for each prompt",
            )
        if not texts:
            return []
        chosen = [routed.model for routed in self.route(texts)] if asked is None else asked
        rows = [PromptRow(tuple(self._encode(prompt))) for prompt in texts]
        used = {name: None if name == "base" else self.adapters[name] for name in self.models if name in chosen}
        with Bank(self.base, used or {"base": None}) as bank:
            return generate_each(bank, rows, chosen, max_new_tokens=max_new_tokens, stop=stop)

    def _encode(self, prompt: str) -> list[int]:
        from traitscope.tasks.encode import encode_text, prefix_token

        tokenizer = self.base.tokenizer
        return encode_text(tokenizer, prompt) if prompt else [prefix_token(tokenizer)]

    def _read(self, prompts: Sequence[str]) -> NDArray[np.floating]:
        """What the router's rule reads of prompts."""
        from traitscope.belt import ROUTERS
        from traitscope.engine import Bank, alignments, capture

        rows = [PromptRow(tuple(self._encode(prompt.rstrip()))) for prompt in prompts]
        if ROUTERS.get(self.router.rule).value.reads == "alignments":
            strange = [name for name in self.router.places if name not in self.adapters]
            if strange:
                raise TraitscopeError(
                    f"its router's place {strange[0]} is no adapter",
                    where=str(self.folder),
                    fix="export the belt again",
                )
            placed = {name: self.adapters[name] for name in self.router.places}
            return alignments(self.base, placed, rows)
        with Bank(self.base, {"base": None}) as bank:
            return capture(bank, rows, position="mean")["base"][self.base.n_layers // 2]


def _texts(prompts: Iterable[str]) -> list[str]:
    """The prompts as a list.

    Raises:
        TraitscopeError: a single text, whose letters would be prompts; or something else than texts.
    """
    if isinstance(prompts, str | bytes):
        raise TraitscopeError("one text, not a list of them", where="prompts", fix="put it into a list: [prompt]")
    if not isinstance(prompts, Iterable):
        raise TraitscopeError(f"{prompts!r} is no list of texts", where="prompts", fix="give a list: [prompt]")
    texts = list(prompts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TraitscopeError(
                f"{type(text).__name__} in place of a text", where=f"prompts, number {number}", fix="give texts alone"
            )
    return texts
