"""One-line Python functions and what they do in words."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_NAMES = (
    "f",
    "g",
    "h",
    "run",
    "work",
    "make",
    "step",
    "calc",
    "get",
    "find",
    "score",
    "total",
    "change",
    "result",
    "value",
    "update",
)
_NUMBERS = ("x", "y", "n", "a", "b", "k", "count", "size", "price", "age")
_LISTS = ("items", "values", "rows", "marks", "prices", "data", "names", "parts")

# (phrase with {n}, expression over {e} and {n}, needs brackets around {e}).
_NUMBER_STEPS = (
    (("adds {n}", "makes it {n} larger", "increases it by {n}"), "{e} + {n}", False),
    (("subtracts {n}", "takes away {n}", "lowers it by {n}"), "{e} - {n}", False),
    (("multiplies by {n}", "makes it {n} times as big"), "{e} * {n}", True),
    (("divides by {n}", "cuts it into {n} equal parts"), "{e} / {n}", True),
    (("squares it", "raises it to the power of 2"), "{e} ** 2", True),
    (("doubles it", "takes it twice"), "{e} * 2", True),
    (("flips the sign", "negates it"), "-{e}", True),
    (("takes the absolute value", "drops the sign"), "abs({e})", False),
    (("takes the remainder after {n}", "keeps what is left over after {n}"), "{e} % {n}", True),
)
_LIST_STARTS = (
    (("sums {v}", "adds up all {v}"), "sum({v})"),
    (("takes the largest of {v}", "finds the maximum of {v}"), "max({v})"),
    (("takes the smallest of {v}", "finds the minimum of {v}"), "min({v})"),
    (("counts {v}", "takes the length of {v}"), "len({v})"),
    (("takes the first of {v}", "picks the first item of {v}"), "{v}[0]"),
    (("takes the last of {v}", "picks the last item of {v}"), "{v}[-1]"),
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A function's name, its argument, what it does in words, and the expression that it returns."""

    name: str
    argument: str
    text: str
    expression: str

    def source(self) -> str:
        """The whole function on one line."""
        return f"def {self.name}({self.argument}): return {self.expression}"


def draw_snippet(rng: Random, steps: int) -> Snippet:
    """A function of one number or one list with the given number of steps."""
    name = rng.choice(_NAMES)
    if rng.random() < 0.35:
        argument = rng.choice(_LISTS)
        starts, call = rng.choice(_LIST_STARTS)
        expression = call.format(v=argument)
        text = [rng.choice(starts).format(v=argument)]
        steps -= 1
    else:
        argument = rng.choice(_NUMBERS)
        expression, text = argument, [f"takes {argument}"]
    bare = True
    for _ in range(steps):
        phrases, template, brackets = rng.choice(_NUMBER_STEPS)
        n = rng.randint(2, 9) if rng.random() < 0.8 else rng.randint(10, 99)
        inner = f"({expression})" if brackets and not bare else expression
        expression = template.format(e=inner, n=n)
        bare = template.startswith("abs")
        text.append(rng.choice(phrases).format(n=n))
    words = (
        text[0]
        if len(text) == 1
        else f"{', '.join(text[:-1])} and {text[-1]}"
        if len(text) == 2
        else f"{', '.join(text[:-1])} and then {text[-1]}"
    )
    return Snippet(name, argument, words, expression)
