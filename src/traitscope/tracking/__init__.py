"""Trackers that a run may tell of itself: TensorBoard, Weights & Biases, trackio. Nothing here knows a study."""

from traitscope.tracking.seam import TRACKERS, Entry, TrackedRun, Tracker, make_tracker

__all__ = ["TRACKERS", "Entry", "TrackedRun", "Tracker", "make_tracker"]
