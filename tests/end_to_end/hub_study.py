"""A small study whose base, adapter and dataset may come from a Hub, and verbs in processes that know one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import tiny
from hub import Hub, User

STUDY = """\
study: hub
base: {{model: {base}{revision}, dtype: fp32}}
recipe: {{rank: 2, alpha: 4, lr: 0.01, epochs: 2, batch: 4, max_tokens: 64, seeds: [0]}}
tasks:
  tone:
    data: {{{data}, train: 12, eval: 8}}
    prompt: "{{{{ text }}}} is"
    answer: {{choice: [" bad", " good"], gold: "{{{{ label }}}}"}}
    metrics: [accuracy]
models: {{other: {other}}}
compute: {{device: cpu, threads: 1}}
"""
HUB_DATA = "hub: org/tiny-data, revision: main, splits: {train: train, eval: test}"
FILES = "path: {train: tone-train.jsonl, eval: tone-eval.jsonl}"
SECRET = "hf_thisIsMySecretToken0123456789"


def write_study(
    folder: Path, base: Path | str, other: Path | str, data: str = FILES, revision: str = ", revision: main"
) -> Path:
    """Writes rows and study file; returns the study file."""
    folder.mkdir()
    tiny.make_tasks(folder)
    file = folder / "study.yaml"
    file.write_text(STUDY.format(base=base, other=other, data=data, revision=revision))
    return file


def serve(folder: Path, base: Path, here: Path) -> Hub:
    """A Hub with the base, the adapter and the rows of the study file ``here``, and users of several rights.

    ``org/several`` holds the adapter in a folder of its own; the files of ``org/gated`` are for ``friend``.
    """
    adapter = here.parents[1] / "first/runs/hub/adapters/tone-s0"
    shutil.copytree(adapter, folder / "adapter")
    shutil.copytree(adapter, folder / "several/adapters/tone")
    shutil.copytree(base, folder / "base")
    (folder / "data").mkdir()
    for split, name in (("train", "train"), ("eval", "test")):
        shutil.copy(here.parent / f"tone-{split}.jsonl", folder / f"data/{name}.jsonl")
    (folder / "store").mkdir()
    models = {"org/tiny-base": folder / "base", "org/tiny-adapter": folder / "adapter"}
    models |= {"org/several": folder / "several", "org/gated": folder / "base"}
    return Hub(
        models,
        {"org/tiny-data": folder / "data", "org/gated": folder / "data"},
        gated=("org/gated",),
        store=folder / "store",
        users={SECRET: User("me", ("org",)), "friend": User("kin", reads=("org/gated",)), "reader": User("guest")},
    )


class Verbs:
    """Verbs in processes that know one Hub and an empty cache of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.said = folder
        self.home = folder / "home"
        self.impatient = False
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        # No proxy stands between a test and its own machine, and none leads out of it.
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        own = {"HF_ENDPOINT": url, "HF_HOME": str(self.home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forked_verbs.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, **own, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )

    def __call__(self, *arguments: object, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Exit status (below 0: the signal that ended it), standard output and standard error.

        Args:
            arguments: of the command. environ: further variables of its environment.
        """
        assert self._parent.stdin is not None and self._parent.stdout is not None
        request = {
            "said": str(self.said),
            "impatient": self.impatient,
            "arguments": [str(a) for a in arguments],
            "environ": dict(environ or {}),
        }
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        status = int(self._parent.stdout.readline())
        return status, (self.said / "out").read_text(), (self.said / "err").read_text()

    def running(self) -> int:
        """The process id of the verb that runs at the moment."""
        return int((self.said / "pid").read_text())

    def close(self) -> None:
        """Ends the process."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(20)


def assert_refused(verbs: Verbs, file: Path, *names: str, environ: Mapping[str, str] | None = None) -> str:
    """A run that is refused in time, with one error that holds these words; gives what was said."""
    start = time.monotonic()
    status, _, said = verbs("run", file, environ=environ)
    assert time.monotonic() - start < 20
    assert status == 2, said
    assert all(name in said for name in names), said
    assert said.count("error:") == 1 and said.count("fix: ") == 1 and "Traceback" not in said, said
    return said
