"""The tool-belt: the fewest adapters that cover the given tasks, and which of them answers which prompt."""
