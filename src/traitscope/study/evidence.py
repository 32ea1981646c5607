"""The evidence of a study: what its folder knows of datasets and pairs before, beside and after training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.store.files import read_json
from traitscope.study import filling, gradients
from traitscope.study.analysis import dataset_statistics
from traitscope.study.context import Context
from traitscope.study.probes import FOLDER, paired_gains, plain_sources, probe_config

if TYPE_CHECKING:
    from traitscope.predict.evidence import Evidence, Update

Floats = NDArray[np.float64]


def gather_evidence(
    study: Context, *, gradients_wanted: bool = False, stop: Callable[[], bool] | None = None
) -> Evidence:
    """All that the folder holds; mean gradients are made if they are wanted, which needs the base.

    Raises:
        TraitscopeError: the base is not at hand, where gradients are wanted.
        Stopped: ``stop`` said so.
    """
    from traitscope.predict.evidence import Evidence

    seconds = {}
    begun = time.perf_counter()
    if gradients_wanted:
        _make_gradients(study, stop)
        seconds["base"] = time.perf_counter() - begun
    begun = time.perf_counter()
    stats = dataset_statistics(study)
    seconds["text"] = time.perf_counter() - begun
    kept = _kept_gradients(study)
    known = study.data.datasets()
    by_task = {task: name for name, task in reversed(known.items()) if "." not in name or name == task}
    return Evidence(
        stats=stats,
        datasets={task: task if task in known else by_task.get(task, task) for task in study.config.tasks},
        rows={source.name: study.data.n_train(source.task) for source in plain_sources(study.config)},
        losses={name: loss for name, (_, loss) in kept.items()},
        gradients={name: sketch for name, (sketch, _) in kept.items()},
        probes=_probes(study),
        updates=_updates(study),
        seconds=seconds,
    )


def _make_gradients(study: Context, stop: Callable[[], bool] | None) -> None:
    units = study.units()
    inputs = gradients.gradient_inputs(study.config, study.data, units.base)
    if not gradients.missing_gradients(study.folder, inputs):
        return
    characters = sum(filling.characters(study.data.text(name)[: gradients.ROWS]) for name in inputs)
    with (
        filling.processes(study, characters, 0, stop) as backend,
        filling.open_work(study, units, False, stop, backend) as work,
    ):
        gradients.make_missing(work)


def _kept_gradients(study: Context) -> dict[str, tuple[NDArray[np.float32], float]]:
    try:
        base = study.units().base
    except TraitscopeError:
        return {}  # without the base's files nothing says whether they are still its gradients
    return gradients.read_gradients(study.folder, gradients.gradient_inputs(study.config, study.data, base))


def _probes(study: Context) -> dict[str, tuple[list[str], list[str], Floats]]:
    """Gains, and falls of the loss, of the short trainings that are of today's study; of others nothing is taken."""
    root = study.folder.root / FOLDER
    if not root.is_dir():
        return {}
    probes = Context(probe_config(study), root)
    sources = [source.name for source in plain_sources(study.config)]
    targets = list(study.config.target_names())
    gain_IN, _ = paired_gains(probes, {task: slice(0, None) for task in targets})
    drop_IN = np.full(gain_IN.shape, np.nan)
    for n, task in enumerate(targets):
        if probes.cells().get("base", task) is None:
            continue
        base = probes.records("base", task).set_index("id")["loss"].astype(float)
        for i, source in enumerate(plain_sources(study.config)):
            model = f"{source.name}-s{source.recipe.seeds[0]}"
            if np.isfinite(gain_IN[i, n]):
                found = probes.records(model, task).set_index("id")["loss"].astype(float)
                drop_IN[i, n] = float((base.reindex(found.index) - found).mean())
    known = {"gain": gain_IN, "loss drop": drop_IN}
    return {name: (sources, targets, values) for name, values in known.items() if np.isfinite(values).any()}


def _updates(study: Context) -> dict[str, Update]:
    """Every source's adapter, first seed, as factors of its update."""
    from safetensors.numpy import load_file

    found: dict[str, Update] = {}
    for source in plain_sources(study.config):
        name = f"{source.name}-s{source.recipe.seeds[0]}"
        if study.folder.adapter(name) is None:
            continue
        folder = study.folder.adapter_path(name)
        config = read_json(folder / "adapter_config.json", fix="train the adapter anew with run --replace")
        scale = config["lora_alpha"] / (np.sqrt(config["r"]) if config.get("use_rslora") else config["r"])
        tensors = load_file(folder / "adapter_model.safetensors")
        update: dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]] = {}
        for key, a_RD in tensors.items():
            if key.endswith(".lora_A.weight"):
                module = key.removesuffix(".lora_A.weight")
                update[module] = (a_RD, scale * tensors[f"{module}.lora_B.weight"])
        found[source.name] = update
    return found
