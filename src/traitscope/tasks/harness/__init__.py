"""Tasks of lm-evaluation-harness: loaded and judged through its own API, asked and answered as ours.

``library`` loads a task, ``requests`` makes examples of its documents, ``judging`` makes scores of the answers. The
harness itself is imported only there, and never where a model answers.
"""
