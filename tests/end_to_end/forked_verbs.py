"""Imports everything, then runs every verb that standard input asks for in a fork, with the Hub that the environment
names: huggingface_hub reads it once, when it is imported."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import datasets
import huggingface_hub
import peft
import torch
import transformers.models.llama.modeling_llama

import traitscope.cli.show
import traitscope.compute.local
from traitscope.cli import app
from traitscope.study import Study

assert datasets and peft and transformers.models.llama.modeling_llama and traitscope.compute.local and Study

if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(Path(request["said"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            os.environ.update(request["environ"])
            if request["impatient"]:
                # The Hub's client waits 23 s in all between its tries of a machine that does not answer.
                time.sleep = lambda _: None
                huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 256
            sys.argv = ["traitscope", *request["arguments"]]
            app()
        (Path(request["said"]) / "pid").write_text(str(pid))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201  (the answer goes to the test)
