"""A belt as a folder of its own: PEFT adapters, the router, what they were judged at, how to serve them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traitscope._version import __version__
from traitscope.errors import TraitscopeError
from traitscope.jsontables import dump_findings, table_to_json
from traitscope.store import write_atomic
from traitscope.store.adapters import CARD, CONFIG, WEIGHTS
from traitscope.store.models import BUILT_IN
from traitscope.study.belting import adapter_path
from traitscope.study.context import Context

if TYPE_CHECKING:
    from traitscope.belt import BeltFindings

FORMAT = 1
FILE, ROUTER = "belt.json", "router.safetensors"
# Ranks that vLLM takes for --max-lora-rank.
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def export_belt(study: Context, found: BeltFindings, out: Path) -> None:
    """Writes ``belt.json``, the adapters, the router's arrays and a README; no file holds a path of this machine.

    Args:
        study: whose belt it is.
        found: the belt.
        out: a folder that is not there, is empty, or holds an earlier belt, which is replaced.

    Raises:
        TraitscopeError: the belt has no adapter, or the folder holds something else.
    """
    if not found.choice.models:
        raise TraitscopeError("no adapter is in the belt", where="belt", fix="allow less --loss, or give --size 1")
    # Nothing but what an export writes is ever removed: a run folder has files of these names too.
    own = {FILE, ROUTER, "README.md", "adapters"}
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= own):
        raise TraitscopeError("is there and is no belt", where=str(out), fix="name another folder with --out")
    base = study.loaded_base()
    located = base.source().located()
    local = isinstance(located, Path) and base.model not in BUILT_IN
    public = Path(located).name if local else base.model
    shutil.rmtree(out, ignore_errors=True)
    adapters: dict[str, Any] = {}
    for name in found.choice.models:
        folder = out / "adapters" / name
        folder.mkdir(parents=True)
        config = _copied(adapter_path(study, name), folder, str(located), public)
        serves = [task for task, model in found.choice.serves.items() if model == name]
        rank = max([config["r"], *config.get("rank_pattern", {}).values()])
        adapters[name] = {"folder": f"adapters/{name}", "rank": rank, "serves": serves}
        if name in found.merged:
            adapters[name]["merged_from"] = dict(found.merged[name])
    router = found.routers.get(found.rule)
    payload: dict[str, Any] = {
        "traitscope": __version__,
        "study": study.config.study,
        "base": {
            "model": public,
            "revision": base.revision,
            "dtype": base.dtype,
            "fingerprint": base.fingerprint,
            "local": local,
        },
        "adapters": adapters,
        "loss": found.choice.loss,
        "basis": found.choice.basis,
        "notes": list(found.choice.notes),
        "judged": {name: table_to_json(table) for name, table in found.tables().items()},
        "router": None,
    }
    if router is not None:
        from safetensors.numpy import save

        payload["router"] = {
            "rule": router.rule,
            "places": list(router.places),
            "serves": list(router.serves),
            "far": router.far,
            "fallback": router.fallback,
            "arrays": ROUTER,
        }
        arrays = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in router.arrays.items()}
        write_atomic(out / ROUTER, save(arrays))
    write_atomic(out / FILE, (dump_findings(payload, FORMAT) + "\n").encode())
    write_atomic(out / CARD, readme(payload).encode())


def _copied(source: Path, folder: Path, place: str, public: str) -> dict[str, Any]:
    """Copies an adapter, with the base's public name in place of its place on this machine; gives the configuration."""
    shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
    config = dict(json.loads((source / CONFIG).read_text()))
    if Path(str(config.get("base_model_name_or_path", ""))).is_absolute():
        config["base_model_name_or_path"] = public
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    if (source / CARD).is_file():
        (folder / CARD).write_text((source / CARD).read_text().replace(place, public))
    return config


def vllm_command(payload: dict[str, Any]) -> str:
    """The command that serves an exported belt, to be run inside its folder."""
    base, adapters = payload["base"], payload["adapters"]
    most = max(adapter["rank"] for adapter in adapters.values())
    rank = next((rank for rank in VLLM_RANKS if rank >= most), most)
    name = "BASE" if base["local"] else base["model"]
    lines = [f"vllm serve {name}"]
    if base["revision"]:
        lines.append(f"--revision {base['revision']}")
    lines += ["--enable-lora", f"--max-loras {len(adapters)}", f"--max-lora-rank {rank}", "--lora-modules"]
    lines += [f"  {name}={adapter['folder']}" for name, adapter in adapters.items()]
    return " \\\n  ".join(lines)


def readme(payload: dict[str, Any]) -> str:
    """The README of an exported belt."""
    base = payload["base"]
    first = next(iter(payload["adapters"]))
    rows = [
        f"| `{name}` | {adapter['rank']} | {', '.join(adapter['serves']) or '-'} |"
        for name, adapter in payload["adapters"].items()
    ]
    of = f"{base['model']}" + (f", revision {base['revision']}" if base["revision"] else "")
    if base["local"] or base["model"] == "embedded":
        of += "; put the folder of its files in place of the name below"
    return f"""# Tool-belt of the study {payload["study"]}

{len(payload["adapters"])} LoRA adapters in PEFT's format for one base ({of}).
What they were judged at stands in `{FILE}`.

| adapter | rank | serves |
| --- | --- | --- |
{chr(10).join(rows)}

## In Python

```python
import traitscope as ts

belt = ts.Belt.load(".")
for prompt, routed in zip(prompts, belt.route(prompts)):
    print(routed.model, round(routed.distance, 3), prompt)
answers = belt.generate(prompts, max_new_tokens=64)
```

Prompts are routed as they are written, and were calibrated on the study's: send them in the same form.

## With vLLM

```
{vllm_command(payload)}
```

Every request names its model: an adapter, or the base by its own name for what the router refuses.

```
curl http://localhost:8000/v1/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{first}", "prompt": "...", "max_tokens": 64, "temperature": 0}}'
```
"""
