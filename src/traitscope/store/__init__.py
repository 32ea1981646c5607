"""The run folder of a study: readable without the tool, written so that a kill at any moment loses little.

Units (adapters and cells) are found again by fingerprint and count only once their commit mark is there.
"""

from traitscope.store.adapters import AdapterHead
from traitscope.store.cells import CellHead, CellIndex, CellStamp, CellStore
from traitscope.store.files import put_if_absent, sweep, write_atomic
from traitscope.store.fingerprints import RowsHash, canonical, differences, fingerprint
from traitscope.store.folder import RunFolder
from traitscope.store.leases import LeaseLost, Leases

__all__ = [
    "AdapterHead",
    "CellHead",
    "CellIndex",
    "CellStamp",
    "CellStore",
    "LeaseLost",
    "Leases",
    "RowsHash",
    "RunFolder",
    "canonical",
    "differences",
    "fingerprint",
    "put_if_absent",
    "sweep",
    "write_atomic",
]
