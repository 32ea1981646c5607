"""A process of the lease tests: takes units, says which, and may be told to hang while it holds one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from traitscope.store import LeaseLost, Leases, put_if_absent

if __name__ == "__main__":
    folder, mode, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    leases = Leases(folder / "leases", beat_s=0.05, stale_s=float(sys.argv[4]))
    if mode == "fill":
        for unit in [f"cells/m/{i}" for i in range(40)]:
            if (folder / unit.replace("/", "_")).exists() or not leases.acquire(unit):
                continue
            if not (folder / unit.replace("/", "_")).exists():
                with leases.commit(unit):
                    with (folder / "log").open("a") as log:
                        log.write(f"{unit} {name}\n")
                    put_if_absent(folder / unit.replace("/", "_"), name.encode())
            leases.release(unit)
        leases.close()
    else:
        assert leases.acquire("unit")
        (folder / f"{name}.holding").touch()
        while not (folder / f"{name}.go").exists():
            time.sleep(0.01)
        try:
            with leases.commit("unit"):
                (folder / f"{name}.committed").touch()
        except LeaseLost:
            (folder / f"{name}.lost").touch()
        leases.close()
