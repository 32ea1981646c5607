"""``belt.json``: what the file of an exported belt holds, how it is checked when it is read, how vLLM serves it."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import hash_file

FORMAT = 2
FILE, ROUTER = "belt.json", "router.safetensors"
# Ranks that vLLM takes for --max-lora-rank.
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class BaseEntry(TypedDict):
    """The base: its public name, revision and precision, the SHA-256 of its files by name."""

    model: str
    revision: str | None
    dtype: str
    local: bool
    files: Annotated[dict[str, str], Field(min_length=1)]


class AdapterEntry(TypedDict):
    """An adapter: its folder, the SHA-256 of its files, its highest rank, what it serves, what it was merged from."""

    folder: str
    files: Annotated[dict[str, str], Field(min_length=1)]
    rank: Annotated[int, Field(ge=1)]
    serves: list[str]
    merged_from: NotRequired[dict[str, float]]


class RouterEntry(TypedDict):
    """The router, its arrays in a file of their own; see ``traitscope.belt.Router``."""

    rule: str
    places: Annotated[list[str], Field(min_length=1)]
    serves: list[str]
    far: Annotated[float, Field(allow_inf_nan=False)]
    fallback: str
    arrays: str
    sha256: str


class BeltFile(TypedDict):
    """All of ``belt.json``; ``judged`` holds the tables by which the belt was chosen and judged."""

    format: int
    traitscope: str
    study: str
    base: BaseEntry
    adapters: Annotated[dict[str, AdapterEntry], Field(min_length=1)]
    loss: float
    basis: str
    notes: list[str]
    judged: dict[str, Any]
    router: RouterEntry | None


def read_belt(folder: Path) -> BeltFile:
    """The checked content of a belt's ``belt.json``.

    Raises:
        TraitscopeError: the file is missing, of another format, or damaged: then the place in it is named.
    """
    file = folder / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TraitscopeError(
            f"cannot be read: {error}", where=str(file), fix="name a folder that `traitscope belt --out` wrote"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise TraitscopeError(
            "is of another format", where=str(file), fix="export the belt again with this version of traitscope"
        )
    try:
        belt = TypeAdapter(BeltFile).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _damaged(file, ".".join(map(str, first["loc"])), first["msg"]) from error
    for name, adapter in belt["adapters"].items():
        if name == "base":
            raise _damaged(file, "adapters.base", "an adapter has the base's name")
        for part in (adapter["folder"], *adapter["files"]):
            path = PurePosixPath(part)
            if path.is_absolute() or ".." in path.parts:
                raise _damaged(file, f"adapters.{name}", f"{part} lies outside the belt")
    router, models = belt["router"], {*belt["adapters"], "base"}
    if router is not None:
        if len(router["serves"]) != len(router["places"]):
            raise _damaged(file, "router.serves", f"{len(router['serves'])} models for {len(router['places'])} places")
        if strange := sorted({*router["serves"], router["fallback"]} - models):
            raise _damaged(file, "router.serves", f"{', '.join(strange)} is no model of this belt")
        if PurePosixPath(router["arrays"]).name != router["arrays"]:
            raise _damaged(file, "router.arrays", f"{router['arrays']} is no name of a file")
    return belt


def check_file(path: Path, sha256: str) -> None:
    """Refuses a file of a belt that is not as it was written.

    Raises:
        TraitscopeError: it is missing, or other than it was.
    """
    try:
        same = hash_file(path) == sha256
    except OSError as error:
        raise TraitscopeError(f"cannot be read: {error}", where=str(path), fix="export the belt again") from error
    if not same:
        raise TraitscopeError("is damaged, or another file", where=str(path), fix="export the belt again")


def _damaged(file: Path, key: str, what: str) -> TraitscopeError:
    return TraitscopeError(f"is damaged: {what}", where=f"{file}, key {key}", fix="export the belt again")


def vllm_command(belt: BeltFile) -> str:
    """The command that serves an exported belt, to be run inside its folder."""
    base, adapters = belt["base"], belt["adapters"]
    most = max(adapter["rank"] for adapter in adapters.values())
    rank = next((rank for rank in VLLM_RANKS if rank >= most), most)
    name = "BASE" if base["local"] else base["model"]
    lines = [f"vllm serve {quote(name)}"]
    if base["revision"]:
        lines.append(f"--revision {quote(base['revision'])}")
    lines += ["--enable-lora", f"--max-loras {len(adapters)}", f"--max-lora-rank {rank}", "--lora-modules"]
    modules = (f"{name}={adapter['folder']}" for name, adapter in adapters.items())
    lines += [f"  {quote(module)}" for module in modules]
    return " \\\n  ".join(lines)


def readme(belt: BeltFile) -> str:
    """The README of an exported belt."""
    base = belt["base"]
    first = next(iter(belt["adapters"]))
    rows = [
        f"| `{name}` | {adapter['rank']} | {', '.join(adapter['serves']) or '-'} |"
        for name, adapter in belt["adapters"].items()
    ]
    of = f"{base['model']}" + (f", revision {base['revision']}" if base["revision"] else "")
    if base["local"] or base["model"] == "embedded":
        of += "; put the folder of its files in place of the name below"
    where = ', base="FOLDER"' if base["local"] else ""
    return f"""# Tool-belt of the study {belt["study"]}

LoRA adapters in PEFT's format for one base ({of}).
What they were judged at stands in `{FILE}`.

| adapter | rank | serves |
| --- | --- | --- |
{chr(10).join(rows)}

## In Python

```python
import traitscope as ts

belt = ts.Belt.load("."{where})
for prompt, routed in zip(prompts, belt.route(prompts)):
    print(routed.model, round(routed.distance, 3), prompt)
answers = belt.generate(prompts, max_new_tokens=64)
```

Prompts are routed as they are written, and were calibrated on the study's: send them in the same form.

## With vLLM

```
{vllm_command(belt)}
```

Every request names its model: an adapter, or the base by its own name for what the router refuses.

```
curl http://localhost:8000/v1/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{first}", "prompt": "...", "max_tokens": 64, "temperature": 0}}'
```
"""
