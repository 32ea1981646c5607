"""Imports everything, then runs every verb that standard input asks for in a fork, with the Hub that the environment
names: huggingface_hub reads it once, when it is imported."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from traitscope.cli import SILENCE, app

os.environ.update(SILENCE)

import datasets
import huggingface_hub.hf_api
import huggingface_hub.repocard
import peft
import scipy.stats
import torch
import transformers.models.llama.modeling_llama

import traitscope

assert datasets and peft and scipy.stats and transformers.models.llama.modeling_llama and huggingface_hub.repocard

if __name__ == "__main__":
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(traitscope.__path__, "traitscope."):
        if not module.name.endswith("__main__"):
            with suppress(ModuleNotFoundError):  # of an extra that cannot be had beside the others
                importlib.import_module(module.name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            (Path(request["said"]) / "pid").write_text(str(os.getpid()))
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(Path(request["said"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            os.environ.update(request["environ"])
            if request["impatient"]:
                # The Hub's client waits 23 s in all between its tries of a machine that does not answer, and keeps
                # nothing of a file of which a portion of 10 MB has not come.
                time.sleep = lambda _: None
                huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 256
            sys.argv = ["traitscope", *request["arguments"]]
            try:
                app()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            # Taking apart all that was imported takes longer than most verbs.
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201  (the answer goes to the test)
