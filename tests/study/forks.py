"""Imports everything, then forks a process for every study that standard input asks for."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

import peft  # noqa: F401
import torch
import transformers.models.llama.modeling_llama

import traitscope.engine
from traitscope.study import Study

assert transformers.models.llama.modeling_llama and traitscope.engine


def run(request: dict[str, str]) -> int:
    try:
        every_s, stale_s = float(request["every_s"]), float(request["stale_s"])
        study = Study.open(Path(request["study"]), Path(request["out"]), every_s=every_s, stale_s=stale_s)
        study.run()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def wait(pid: int, seconds: float | None) -> int | None:
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            return None
        time.sleep(0.005)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            pid = os.fork()
            if pid == 0:
                sys.stdout = sys.stderr
                os._exit(run(request))
            answer = {"pid": pid}
        else:
            answer = {"status": wait(int(request["pid"]), request["seconds"])}
        print(json.dumps(answer), flush=True)  # noqa: T201  (the answer goes to the test)
