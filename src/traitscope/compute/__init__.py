"""Where work runs. A study decides what is to be done and commits it; a place computes.

``Local`` is this process: its processor, or one GPU. Several processes (on one machine or on several that see
the same disk) may fill one run folder, each a ``Local`` of its own; leases keep them apart.
"""

from traitscope.compute.local import Local, ModelSource, cores

__all__ = ["Local", "ModelSource", "cores"]
