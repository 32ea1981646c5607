"""Foreign programs, run apart: no network, no files but its own, bounded time, memory, processes and output.

``run_programs`` gives what became of each. Nothing here decides whether programs may be run at all: whoever calls it
was told so by the user (``--allow-code``).
"""

from __future__ import annotations

from traitscope.sandbox.isolation import Isolation
from traitscope.sandbox.run import PASSED, VERSION, Limits, Program, find_isolation, run_programs

__all__ = ["PASSED", "VERSION", "Isolation", "Limits", "Program", "find_isolation", "run_programs"]
