"""Speed and memory, each against a peer, side by side in one run. ``python -m benchmarks`` prints one table."""
