"""Lambdas as text: ``lambda config: 2 * config["hidden"]``.

Such a text is computed without running it as Python code. It may hold arithmetic, comparisons, the
configuration and the functions listed here, none of which does more than return a value: the text
in a stranger's run is as safe as a number.
"""

from __future__ import annotations

import ast
import math
import operator
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: How every text starts.
LAMBDA = "lambda"
#: Bits of a power and items of a repetition are at most so many: more would fill the memory.
LARGEST = 10_000

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_BUILTINS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (abs, bool, float, int, len, list, max, min, round, sorted, str, sum)
}
MODULES: dict[str, Any] = {"math": math, "np": np, "numpy": np, "random": random}
_MATH = (
    *("ceil", "cos", "e", "exp", "fabs", "floor", "hypot", "inf", "isqrt", "log", "log10", "log1p"),
    *("log2", "pi", "pow", "sin", "sqrt", "tan", "tanh", "trunc"),
)
_NUMPY = (
    *("abs", "ceil", "clip", "exp", "floor", "log", "log10", "log2", "maximum", "minimum"),
    *("mean", "power", "prod", "round", "sqrt", "square", "sum"),
)
_NUMPY_RANDOM = (
    *("beta", "choice", "exponential", "gamma", "lognormal", "normal", "rand", "randint", "randn"),
    *("random", "random_sample", "uniform"),
)
_RANDOM = (
    *("betavariate", "choice", "expovariate", "gauss", "lognormvariate", "normalvariate"),
    *("randint", "random", "randrange", "sample", "triangular", "uniform"),
)
#: Functions and constants by their dotted name.
_KNOWN: dict[str, Any] = {
    **_BUILTINS,
    **{f"math.{name}": getattr(math, name) for name in _MATH},
    **{f"{module}.{name}": getattr(np, name) for module in ("np", "numpy") for name in _NUMPY},
    **{
        f"{module}.random.{name}": getattr(np.random, name)
        for module in ("np", "numpy")
        for name in _NUMPY_RANDOM
    },
    **{f"random.{name}": getattr(random, name) for name in _RANDOM},
}
FIX = "write it as a function at the top of a module"


def compiled(text: str) -> Callable[..., Any]:
    """Returns the function that a text describes.

    >>> compiled("lambda config: 2 ** config['k'] if config['k'] > 2 else min(3, 4)")({"k": 3})
    8

    Raises:
        ValueError: the text uses more than arithmetic, the configuration and known functions.
    """
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{text!r} is no expression: {error.msg}") from error
    if not isinstance(node, ast.Lambda):
        raise ValueError(f"{text!r} is no lambda")
    names = _parameters(node)
    part = _built(node.body, *names or [""])
    return (lambda config: part(config)) if names else (lambda: part(None))


def _parameters(node: ast.Lambda) -> list[str]:
    arguments = node.args
    more = (arguments.vararg, arguments.kwarg, *arguments.kwonlyargs, *arguments.defaults)
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if any(more) or len(names) > 1:
        raise ValueError(f"a lambda of more than the configuration: {FIX}")
    return names


#: Computes a part of a lambda from the configuration.
_Part = Callable[[Any], Any]


def _built(node: ast.AST, name: str) -> _Part:
    """Builds what computes an expression; ``name`` is that of the configuration.

    Raises:
        ValueError: it is more than arithmetic, the configuration and known functions.
    """
    if (dotted := _dotted(node)) in _KNOWN:
        known = _KNOWN[dotted]
        return lambda _: known
    builder = _BUILDERS.get(type(node))
    if builder is None:
        raise ValueError(f"{ast.unparse(node)} is more than arithmetic on settings: {FIX}")
    return builder(node, name)


def _dotted(node: ast.AST) -> str:
    """Returns a name like ``np.random.randint``, an empty text for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (of := _dotted(node.value)):
        return f"{of}.{node.attr}"
    return ""


def _constant(node: ast.Constant, name: str) -> _Part:
    return lambda _: node.value


def _name(node: ast.Name, name: str) -> _Part:
    if node.id != name:
        raise ValueError(f"{node.id} is not known where the lambda is computed: {FIX}")
    return lambda config: config


def _attribute(node: ast.Attribute, name: str) -> _Part:
    of = _built(node.value, name)

    def part(config: Any) -> Any:
        table = of(config)
        if not isinstance(table, Mapping):
            raise AttributeError(node.attr)
        return table[node.attr]

    return part


def _subscript(node: ast.Subscript, name: str) -> _Part:
    of, key = _built(node.value, name), _built(node.slice, name)
    return lambda config: of(config)[key(config)]


def _binary(node: ast.BinOp, name: str) -> _Part:
    kind, left, right = type(node.op), _built(node.left, name), _built(node.right, name)
    if kind not in _OPERATORS:
        raise ValueError(f"{ast.unparse(node)} is more than arithmetic on settings: {FIX}")

    def part(config: Any) -> Any:
        a, b = left(config), right(config)
        if kind is ast.Pow and isinstance(a, int) and isinstance(b, int):
            _check_size(a.bit_length() * b)
        elif kind is ast.Mult and (hasattr(a, "__len__") or hasattr(b, "__len__")):
            _check_size(len(a) * b if hasattr(a, "__len__") else a * len(b))
        elif kind is ast.Mod and isinstance(a, str):
            raise ValueError("it formats a text")
        return _OPERATORS[kind](a, b)

    return part


def _check_size(size: Any) -> None:
    if size > LARGEST:
        raise ValueError("it would be too large")


def _unary(node: ast.UnaryOp, name: str) -> _Part:
    kind, of = type(node.op), _built(node.operand, name)
    if kind not in _OPERATORS:
        raise ValueError(f"{ast.unparse(node)} is more than arithmetic on settings: {FIX}")
    return lambda config: _OPERATORS[kind](of(config))


def _boolean(node: ast.BoolOp, name: str) -> _Part:
    parts, ends = [_built(value, name) for value in node.values], isinstance(node.op, ast.Or)

    def part(config: Any) -> Any:
        value = None
        for each in parts:
            value = each(config)
            if bool(value) is ends:
                break
        return value

    return part


def _comparison(node: ast.Compare, name: str) -> _Part:
    parts = [_built(value, name) for value in (node.left, *node.comparators)]
    kinds = [type(kind) for kind in node.ops]

    def part(config: Any) -> bool:
        pairs = zip(kinds, parts, parts[1:], strict=False)
        return all(_OPERATORS[kind](a(config), b(config)) for kind, a, b in pairs)

    return part


def _conditional(node: ast.IfExp, name: str) -> _Part:
    test, then, otherwise = (_built(one, name) for one in (node.test, node.body, node.orelse))
    return lambda config: then(config) if test(config) else otherwise(config)


def _call(node: ast.Call, name: str) -> _Part:
    arguments = [_built(argument, name) for argument in node.args]
    named = {str(one.arg): _built(one.value, name) for one in node.keywords if one.arg}
    known = _dotted(node.func) in _KNOWN
    gets = isinstance(node.func, ast.Attribute) and node.func.attr == "get"
    if not (known or gets) or len(named) < len(node.keywords):
        raise ValueError(f"{ast.unparse(node)} calls what is not known there: {FIX}")
    function = _built(node.func, name) if known else _getter(node.func, name)

    def part(config: Any) -> Any:
        values = {key: value(config) for key, value in named.items()}
        return function(config)(*(argument(config) for argument in arguments), **values)

    return part


def _getter(node: ast.expr, name: str) -> _Part:
    """Builds ``config.get``, of tables alone."""
    assert isinstance(node, ast.Attribute)
    of = _built(node.value, name)

    def part(config: Any) -> Any:
        table = of(config)
        if not isinstance(table, Mapping):
            raise AttributeError("get")
        return table.get

    return part


def _sequence(node: ast.List | ast.Tuple, name: str) -> _Part:
    parts = [_built(item, name) for item in node.elts]
    return lambda config: [part(config) for part in parts]


_BUILDERS: dict[type[ast.AST], Callable[[Any, str], _Part]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.IfExp: _conditional,
    ast.Call: _call,
    ast.List: _sequence,
    ast.Tuple: _sequence,
}
