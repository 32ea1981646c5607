"""``Belt``: an exported belt that is loaded again, routes prompts and answers them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.records import Generated, PromptRow
from traitscope.study.exporting import FILE, FORMAT, vllm_command

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

    def __init__(self, folder: Path, content: dict[str, Any], base: str | Path | None, device: str) -> None:
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
            TraitscopeError: no such folder, or one of another format.
        """
        file = Path(path) / FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TraitscopeError(
                f"cannot be read: {error}", where=str(file), fix="name a folder that `traitscope belt --out` wrote"
            ) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise TraitscopeError(
                "is of another format", where=str(file), fix="export the belt again with this version of traitscope"
            )
        return cls(Path(path), content, base, device)

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
        from traitscope.store.fingerprints import fingerprint_folder
        from traitscope.store.models import resolve_model

        said = self.content["base"]
        named = self._named
        if named is None:
            if said["local"]:
                raise TraitscopeError(
                    f"its base is a folder named {said['model']}",
                    where=str(self.folder),
                    fix="give load(path, base=...)",
                )
            named = said["model"]
        found = resolve_model(named)
        if isinstance(found, Path) and not said["revision"] and fingerprint_folder(found) != said["fingerprint"]:
            raise TraitscopeError(
                f"{named} is another base than the adapters were trained on",
                where=str(self.folder),
                fix="name the base of the study",
            )
        return load_base(str(named), revision=said["revision"], dtype=said["dtype"], device=self._device)

    @cached_property
    def adapters(self) -> dict[str, Adapter]:
        """The loaded adapters by name."""
        from traitscope.engine import Adapter

        parts = self.content["adapters"].items()
        return {name: Adapter.load(self.folder / part["folder"], self.base) for name, part in parts}

    @cached_property
    def router(self) -> Router:
        """The router.

        Raises:
            TraitscopeError: the belt was exported without one.
        """
        import numpy as np
        from safetensors.numpy import load_file

        from traitscope.belt import Router

        said = self.content["router"]
        if said is None:
            raise TraitscopeError("has no router", where=str(self.folder), fix="export it with --rule centroid")
        arrays = load_file(self.folder / said["arrays"])
        places = tuple(said["places"])
        return Router(
            said["rule"],
            dict(arrays),
            places,
            tuple(said["serves"]),
            np.full(len(places), np.nan),
            said["far"],
            said["fallback"],
        )

    def route(self, prompts: Sequence[str]) -> list[Routed]:
        """Which model each prompt goes to, and how near it lies.

        Args:
            prompts: texts as the model reads them (a chat's with its template); white space at the end does not count.

        Raises:
            TraitscopeError: a prompt is empty or too long, or there is no router.
        """
        if not prompts:
            return []
        names, place_S, distance_S = self.router.route(self._read(prompts))
        places = [self.router.places[place] for place in place_S.tolist()]
        return [Routed(*found) for found in zip(names, places, distance_S.tolist(), strict=True)]

    def generate(
        self,
        prompts: Sequence[str],
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
            TraitscopeError: as ``route``; a model is not in the belt.
        """
        from traitscope.engine import Bank, generate_each

        if not prompts:
            return []
        chosen = [routed.model for routed in self.route(prompts)] if models is None else list(models)
        rows = [PromptRow(tuple(self._encode(prompt))) for prompt in prompts]
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
            placed = {name: self.adapters[name] for name in self.router.places}
            return alignments(self.base, placed, rows)
        with Bank(self.base, {"base": None}) as bank:
            return capture(bank, rows, position="mean")["base"][self.base.n_layers // 2]
