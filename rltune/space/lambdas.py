"""The text of a lambda, from the file or notebook cell that it stands in."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

from rltune.space.expressions import FIX, MODULES, compiled


def is_lambda(function: object) -> bool:
    """Returns whether a function is a lambda."""
    return isinstance(function, FunctionType) and function.__name__ == "<lambda>"


def text_of(function: Callable[..., Any]) -> str:
    """Returns the text of a lambda; numbers and texts that it takes from outside stand in it.

    Raises:
        ValueError: its source is not found, or it uses more than :func:`compiled` takes.
    """
    assert isinstance(function, FunctionType)
    node = _node_of(function.__code__)
    outside = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    text = ast.unparse(ast.fix_missing_locations(_Settled(outside).visit(node)))
    compiled(text)
    return text


def _node_of(code: CodeType) -> ast.Lambda:
    """Returns a lambda's node in the source that it was compiled from."""
    lines = linecache.getlines(code.co_filename)
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:
        tree = ast.Module([], [])
    spots = [spot for spot in map(_spot, code.co_positions()) if spot]
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and all(_covers(node, *spot) for spot in spots)
    ]
    inner = max(around, key=lambda node: (node.lineno, node.col_offset), default=None)
    if inner is None or not _is_of(inner, code):
        raise ValueError(f"the source of this lambda is not found, or has changed since: {FIX}")
    return inner


def _is_of(node: ast.Lambda, code: CodeType) -> bool:
    """Returns whether a lambda in the source compiles to the given code."""
    outside = ", ".join(code.co_freevars)
    wrapper = compile(f"def wrapper({outside}): return {ast.unparse(node)}", "", "exec")
    (around,) = (one for one in wrapper.co_consts if isinstance(one, CodeType))
    (own,) = (one for one in around.co_consts if isinstance(one, CodeType))
    return _steps(own) == _steps(code)


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    """Returns what a code does, without what depends on the module around it.

    Python calls a function of a module that is imported above as an attribute, of any other object
    as a method.
    """
    return [
        (
            "LOAD_ATTR" if step.opname == "LOAD_METHOD" else step.opname,
            None if "JUMP" in step.opname or isinstance(step.argval, CodeType) else step.argval,
        )
        for step in dis.get_instructions(code)
    ]


def _spot(position: tuple[int | None, ...]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    line, last_line, column, last_column = position
    if line is None or last_line is None or column is None or last_column is None:
        return None
    return None if column == last_column else ((line, column), (last_line, last_column))


def _covers(node: ast.Lambda, start: tuple[int, int], end: tuple[int, int]) -> bool:
    last = (node.end_lineno or node.lineno, node.end_col_offset or 0)
    return (node.lineno, node.col_offset) <= start and end <= last


class _Settled(ast.NodeTransformer):
    """Puts the values of outside numbers and texts into a lambda, and checks its modules."""

    def __init__(self, outside: Mapping[str, Any]) -> None:
        self.outside = outside
        self.own: set[str] = set()

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.own = {argument.arg for argument in node.args.args}
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.own or node.id not in self.outside:
            return node
        value = self.outside[node.id]
        if value is None or isinstance(value, bool | int | float | str):
            return ast.Constant(value)
        if node.id in MODULES and value is MODULES[node.id]:
            return node
        raise ValueError(f"this lambda uses {node.id}, which is not in it: {FIX}")
