"""Writing an adapter's configuration so that PEFT adapts the same modules in the same way, and no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from traitscope.engine.base import Base
from traitscope.engine.linear import original_linear
from traitscope.engine.peft_folder import targets
from traitscope.store.models import locate


def peft_config(
    base: Base,
    names: Sequence[str],
    *,
    rank: int,
    alpha: float,
    ranks: Mapping[str, int],
    alphas: Mapping[str, float],
    rslora: bool,
    dropout: float,
) -> dict[str, Any]:
    """The fields of ``adapter_config.json``.

    Args:
        base: the base.
        names: the adapted modules.
        rank, alpha: of every module but those in ``ranks`` and ``alphas``.
        rslora, dropout: as PEFT's ``use_rslora`` and ``lora_dropout``.
    """
    from peft import LoraConfig

    modules = dict(base.model.named_modules())
    transposed = any(type(original_linear(modules[name])).__name__ == "Conv1D" for name in names)
    chosen = _targets(base, names)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        rank_pattern={_only(name): value for name, value in ranks.items()},
        alpha_pattern={_only(name): value for name, value in alphas.items()},
        use_rslora=rslora,
        # PEFT refuses dropout beside bare parameters; what is saved computes the same without it.
        lora_dropout=0.0 if chosen.get("target_parameters") else dropout,
        bias="none",
        task_type="CAUSAL_LM",
        # An absolute path (a GGUF file's own, not the folder it was unpacked into) or a Hub id.
        base_model_name_or_path=str(locate(base.name)),
        revision=base.revision,
        inference_mode=True,
        fan_in_fan_out=transposed,
        **chosen,
    )
    fields = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    return dict(json.loads(json.dumps(fields, default=str)))


def _only(name: str) -> str:
    """A pattern that matches this module alone."""
    return f"^{re.escape(name)}"


def _targets(base: Base, names: Sequence[str]) -> dict[str, Any]:
    """How PEFT is told which modules are meant: the shortest form under which it adapts these and no others.

    In some architectures PEFT takes names such as ``up_proj`` for those of experts, whatever they stand for; of these
    modules it is told the bare weights.
    """
    lost = {leaf for leaf in map(_leaf, names) if not _is_kept(base, leaf)}
    kept = [name for name in names if _leaf(name) not in lost]
    chosen: dict[str, Any] = {"target_modules": []}
    if kept:
        forms = list(_forms(base, kept))
        chosen = next((form for form in forms if _adapted(base, form) == set(kept)), forms[-1])
    if len(kept) < len(names):
        chosen["target_parameters"] = [f"{name}.weight" for name in names if _leaf(name) in lost]
    return chosen


def _leaf(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _is_kept(base: Base, leaf: str) -> bool:
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    config = LoraConfig(target_modules=[leaf])
    try:
        convert_peft_config_for_transformers(config, base.model, None)
    except ValueError:  # one of several names that it would put together
        return False
    return bool(config.target_modules == {leaf})


def _forms(base: Base, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    leaves = sorted(set(map(_leaf, names)))
    yield {"target_modules": leaves}
    yield {"target_modules": leaves, "layers_to_transform": sorted({base.layer_of(name) for name in names})}
    yield {"target_modules": list(names)}


def _adapted(base: Base, form: Mapping[str, Any]) -> set[str]:
    """Modules of the whole model that PEFT adapts under such a configuration."""
    from peft import LoraConfig

    config = LoraConfig(**form)
    return {name for name, _ in base.model.named_modules() if name and targets(config, name, base)}
