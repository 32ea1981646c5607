"""What the generators give as right is right, judged by other means."""

from __future__ import annotations

import ast
import re

import pytest

from traitscope.tasks.embedded import generate


def value_of(expression: str, **names: object) -> float:
    """Value of an arithmetic expression of our own making: numbers, names, + - * / % **, a few calls and indices."""
    calls = {"sum": sum, "max": max, "min": min, "len": len, "abs": abs}
    operations = {
        ast.Add: lambda a, b: a + b,
        ast.Sub: lambda a, b: a - b,
        ast.Mult: lambda a, b: a * b,
        ast.Div: lambda a, b: a / b,
        ast.Mod: lambda a, b: a % b,
        ast.Pow: lambda a, b: a**b,
    }

    def walk(node: ast.expr) -> object:
        match node:
            case ast.Constant(value=int() as value):
                return value
            case ast.Name(id=name):
                return names[name]
            case ast.BinOp(left=left, op=op, right=right):
                return operations[type(op)](walk(left), walk(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.Call(func=ast.Name(id=name), args=[argument]):
                return calls[name](walk(argument))
            case ast.Subscript(value=value, slice=index):
                return walk(value)[walk(index)]
        raise AssertionError(f"not in the language of the snippets: {ast.dump(node)}")

    return walk(ast.parse(expression, mode="eval").body)


def test_sums_have_the_value_that_python_gives_them() -> None:
    for row in generate("arithmetic", "train", 1500, 0):
        question = row["question"]
        if "plus" in question or "minus" in question or "times" in question:
            first, *steps = question.replace(" and then", "").split()
            value = int(first)
            for word, number in zip(steps[::2], steps[1::2], strict=True):
                value = {"plus": value + int(number), "minus": value - int(number), "times": value * int(number)}[word]
        else:
            value = value_of(question)
        assert value == int(row["answer"])
        assert 0 <= value <= 99


def test_worked_solutions_hold_step_by_step_and_end_in_the_answer() -> None:
    for row in generate("word_problems", "train", 800, 0):
        *steps, last = row["solution"].removesuffix(".").split(". ")
        before = None
        for step in steps:
            left, right = step.split(" = ")
            assert value_of(left) == int(right)
            assert before in (None, int(left.split()[0]))
            before = int(right)
        assert last == f"The answer is {row['answer']}" and before == int(row["answer"])


def test_every_number_of_a_solution_stands_in_its_story() -> None:
    for row in generate("word_problems", "train", 400, 2):
        told = set(re.findall(r"\d+", row["story"]))
        for left, _, number in re.findall(r"(\d+) ([+*-]) (\d+) =", row["solution"])[:1]:
            assert {left, number} <= told
        for _, number in re.findall(r"([+*-]) (\d+) =", row["solution"]):
            assert number in told


WORDS = (
    (r"adds (\d+)|makes it (\d+) larger|increases it by (\d+)", lambda v, n: v + n),
    (r"subtracts (\d+)|takes away (\d+)|lowers it by (\d+)", lambda v, n: v - n),
    (r"multiplies by (\d+)|makes it (\d+) times as big", lambda v, n: v * n),
    (r"divides by (\d+)|cuts it into (\d+) equal parts", lambda v, n: v / n),
    (r"squares it|raises it to the power of 2", lambda v, n: v**2),
    (r"doubles it|takes it twice", lambda v, n: v * 2),
    (r"flips the sign|negates it", lambda v, n: -v),
    (r"takes the absolute value|drops the sign", lambda v, n: abs(v)),
    (r"takes the remainder after (\d+)|keeps what is left over after (\d+)", lambda v, n: v % n),
    (r"sums \w+|adds up all \w+", lambda v, n: sum(v)),
    (r"takes the largest of \w+|finds the maximum of \w+", lambda v, n: max(v)),
    (r"takes the smallest of \w+|finds the minimum of \w+", lambda v, n: min(v)),
    (r"counts \w+|takes the length of \w+", lambda v, n: len(v)),
    (r"takes the first of \w+|picks the first item of \w+", lambda v, n: v[0]),
    (r"takes the last of \w+|picks the last item of \w+", lambda v, n: v[-1]),
    (r"takes \w+", lambda v, n: v),
)


def follow(text: str, value: object) -> object:
    """Do what the words say, one step after the other."""
    for step in re.split(r", and then | and then |, | and ", text):
        for pattern, act in WORDS:
            if found := re.fullmatch(pattern, step):
                number = next((int(group) for group in found.groups() if group), 0)
                value = act(value, number)
                break
        else:
            raise AssertionError(f"no such step: {step!r}")
    return value


def test_code_does_what_its_description_says() -> None:
    for row in generate("code", "train", 600, 0):
        function = ast.parse(row["code"]).body[0]
        assert isinstance(function, ast.FunctionDef)
        assert (function.name, function.args.args[0].arg) == (row["name"], row["argument"])
        expression = row["code"].split("return ", 1)[1]
        is_list = bool(re.match(r"sum|max|min|len|\w+\[|.*(sum|max|min|len)\(|.*\w\[", expression))
        for value in ([7, -3, 12, 5], [2, 9]) if is_list else (11, -4, 3):
            assert value_of(expression, **{row["argument"]: value}) == pytest.approx(follow(row["text"], value))
