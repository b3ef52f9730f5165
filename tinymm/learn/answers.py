"""Comparing what came back with what was expected, in words; and reading what a learner has written down."""

import ast
import operator
import textwrap

import numpy as np


def difference(value, expected, rtol=1e-9, atol=1e-11):
    """None if two nests of arrays agree, else what differs: shapes, types, the worst element."""
    if isinstance(expected, dict):
        if not isinstance(value, dict) or set(value) != set(expected):
            return f"got {short(value)}; expected {', '.join(expected)}"
        found = [(key, difference(value[key], expected[key], rtol, atol)) for key in expected]
        return next((f"{key}: {problem}" for key, problem in found if problem), None)
    if isinstance(expected, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(expected):
            return f"got {short(value)}; expected {len(expected)} results"
        names = ("output", "gradient") if len(expected) == 2 and isinstance(expected[1], tuple) else None
        for i, (v, e) in enumerate(zip(value, expected)):
            problem = difference(v, e, rtol, atol)
            if problem:
                where = names[i] if names else f"result {i + 1}" if len(expected) > 1 else ""
                return f"{where}: {problem}" if where else problem
        return None
    if expected is None or isinstance(expected, str):
        return None if value == expected else f"got {short(value)}; expected {expected}"
    if value is None or isinstance(value, (str, dict)):
        return f"got {short(value)}; expected {short(np.asarray(expected))}"
    value, expected = np.asarray(value), np.asarray(expected)
    if value.shape != expected.shape:
        return f"got shape {value.shape}; expected {expected.shape}"
    if value.dtype.kind == expected.dtype.kind == "f" and expected.ndim and value.dtype != expected.dtype:
        return f"got {value.dtype}; expected {expected.dtype}"
    close = np.isclose(value, expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    with np.errstate(invalid="ignore"):  # inf - inf
        gap = np.where(close, -1.0, np.nan_to_num(np.abs(value - expected.astype(float)), nan=np.inf, posinf=np.inf))
    at = np.unravel_index(int(np.argmax(gap)), gap.shape)
    where = f" at {[int(i) for i in at]}" if gap.ndim else ""
    many = f" ({int((~close).sum())} of {close.size} differ)" if close.size > 1 else ""
    return f"got {in_digits(value[at])}{where}; expected {in_digits(expected[at])}{many}"


def in_digits(x):
    """One number, with six digits."""
    return f"{x:.6g}" if np.asarray(x).dtype.kind in "fc" else str(x)


def short(x, values=6):
    """A value in a few words; arrays of more than so many values by their shape."""
    if isinstance(x, (np.ndarray, np.generic)):
        if x.size > values or x.size == 0:
            return f"array {'x'.join(map(str, x.shape))}"
        return "array " + np.array2string(np.asarray(x), precision=4, separator=", ").replace("\n", "")
    if isinstance(x, tuple) and x and all(isinstance(i, int) for i in x):
        return str(x)
    if isinstance(x, (list, tuple)):
        inner = ", ".join(short(i, values) for i in x[:4]) + (", ..." if len(x) > 4 else "")
        return f"[{inner}]" if isinstance(x, list) else f"({inner})"
    return textwrap.shorten(repr(x), 60)


def agrees(guess, measured, question):
    """Whether a guess is near enough; lists must agree in length and each number."""
    if isinstance(measured, str) or isinstance(guess, str):
        return str(guess).strip().lower() == str(measured).strip().lower()
    try:
        guess, measured = np.asarray(guess, float), np.asarray(measured, float)
    except (TypeError, ValueError):
        return False
    return guess.shape == measured.shape and bool(
        np.allclose(guess, measured, rtol=question.rtol, atol=question.atol, equal_nan=True)
    )


def as_literal(x):
    """Arrays and tuples as lists, NumPy's numbers as Python's."""
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else list(x) if isinstance(x, tuple) else x


def in_words(x):
    """A guess or a measured value as a line shows it."""
    return in_digits(x) if isinstance(x, (float, np.floating)) else short(as_literal(x))


def literal(text, name):
    """The dict ``name = {...}`` in a file, without running it: (dict, None) or ({}, what is wrong)."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as problem:
        return {}, f"line {getattr(problem, 'lineno', '?')}: {getattr(problem, 'msg', problem)}"
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            try:
                value = ast.literal_eval(_Sums().visit(node.value))
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, ArithmeticError):
                return {}, f"line {node.lineno}: {name} is not made of plain numbers, strings, lists and dicts"
            if isinstance(value, dict):
                return value, None
            return {}, f"line {node.lineno}: {name} is no dict"
    return {}, f"{name} is not in the file"


class _Sums(ast.NodeTransformer):
    """Work out sums such as ``2 * 512**3``: a number may be written as it was found."""

    RULES = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
             ast.FloorDiv: operator.floordiv}  # fmt: skip

    def visit_BinOp(self, node):
        node = self.generic_visit(node)
        try:
            a, b = ast.literal_eval(node.left), ast.literal_eval(node.right)
        except ValueError:
            return node
        if not all(type(n) in (int, float) and abs(n) < 1e30 for n in (a, b)):
            return node
        if isinstance(node.op, ast.Pow):
            return ast.Constant(float(a) ** b if abs(b) > 9 else a**b)
        return ast.Constant(self.RULES[type(node.op)](a, b)) if type(node.op) in self.RULES else node
