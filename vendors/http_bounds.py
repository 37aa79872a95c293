"""What a template of the generic adapter may cost: bounds before it is parsed, and one budget for each rendering.

The library's own limits hold the output and the depth. They hold neither its lexer, which is quadratic in blanks and
brackets without an end, nor what a filter makes on the way: `json` of `json` doubles, `utf16_hex` makes four of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from io import StringIO
from typing import Any

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidValueError
from liquid.expression import Expression
from liquid.output import LimitedStringIO

MAX_SOURCE = 10_000  # characters of a template
MAX_PIECES = 300  # outputs and tags of a template
MAX_PIECE = 2_000  # characters between {{ and }}, or {% and %}
MAX_BLANKS = 200  # blanks in a row inside a piece; over several lines one may indent deeply
MAX_OUTPUT = 100_000  # bytes of what becomes of it
MAX_VALUE = 100_000  # characters of what any filter makes on the way
MAX_BITS = 1_024  # of a number on the way
MAX_LOOP = 1_000  # items of a list or range, and rounds of nested loops
MAX_WORK = 500_000  # characters read, made or gone over again by one rendering
SAMPLE_WORK = 100_000  # the same for a rendering at the form, whose sample texts are short

_BLANKS = re.compile(rf"\s{{{MAX_BLANKS + 1}}}")
_ENDS = {"{{": "}}", "{%": "%}"}
_BEGIN = re.compile(r"\{[{%]")


class SourceError(ValueError):
    """A template that is not even parsed."""


def refuse_source(source: str) -> None:
    """Raises SourceError for what the lexer would take long over. Linear."""
    if len(source) > MAX_SOURCE:
        raise SourceError(f"it is longer than {MAX_SOURCE} characters")
    for count, (begin, inside, closed) in enumerate(_pieces(source), 1):
        if not closed:
            raise SourceError(f"a {begin} has no {_ENDS[begin]}")
        if len(inside) > MAX_PIECE or count > MAX_PIECES:
            raise SourceError(
                f"it has more than {MAX_PIECES} outputs and tags, or one of more than {MAX_PIECE} characters"
            )
        if _BLANKS.search(inside):
            raise SourceError(f"it has more than {MAX_BLANKS} blanks in a row inside {begin} {_ENDS[begin]}")


def uses(source: str, variable: str) -> bool:
    """Whether an output or tag names the variable; also for a source that does not parse. Linear."""
    word = re.compile(rf"\b{re.escape(variable)}\b")
    return any(word.search(inside) for _, inside, _ in _pieces(source))


def _pieces(source: str) -> Iterator[tuple[str, str, bool]]:
    """How each output or tag begins, what is inside, and whether it ends."""
    place = 0
    while begin := _BEGIN.search(source, place):
        end = source.find(_ENDS[begin[0]], begin.end())
        yield begin[0], source[begin.end() : end if end >= 0 else None], end >= 0
        if end < 0:
            return
        place = end + 2


class _Stream(LimitedStringIO):
    """What is written, within the limit and the budget."""

    def __init__(self, limit: int, context: Context) -> None:
        super().__init__(limit)
        self._context = context

    def write(self, text: str) -> int:
        self._context.charge(len(text) + 1)
        return super().write(text)


class Context(RenderContext):
    """One rendering, whose steps and intermediate values all count against one budget."""

    __slots__ = ("left",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left = MAX_WORK

    def charge(self, work: int) -> None:
        """Raises LiquidValueError once the budget is used up."""
        self.left -= work
        if self.left < 0:
            raise LiquidValueError("it takes too many steps, or makes too much on the way", token=None)

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        """The filter, within the bounds of a value and the budget."""
        chosen = super().filter(name, token)

        @wraps(chosen)
        def bounded(value: object, *args: object, **kwargs: object) -> object:
            self.charge(sum(map(_size, (value, *args))))
            made = chosen(value, *args, **kwargs)
            size = _size(made)
            if size > MAX_VALUE:
                raise LiquidValueError(f"{name}: the result is too long", token=None)
            self.charge(size)
            return made

        return bounded

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """The library's limit, and the source gone over again in each round."""
        super().raise_for_loop_limit(length)
        assert isinstance(self.template, Template)
        self.charge(length * len(self.template.source))

    def get_buffer(self, buf: Any = None) -> StringIO:
        """Where a block or `capture` writes."""
        carry = buf.size if isinstance(buf, LimitedStringIO) else 0
        return _Stream(MAX_OUTPUT - carry, self)


class Template(BoundTemplate):
    """A parsed template whose ranges are bounded. `source` is what it was made of."""

    context_class = Context
    source = ""

    def write(self, values: Mapping[str, Any], *, work: int) -> str:
        """Renders within a budget. Raises the library's errors, or what a filter's arithmetic raises."""
        context = Context(self, globals=self.make_globals(dict(values)))
        context.left = work
        buffer = context.get_buffer()
        self.render_with_context(context, buffer)
        return buffer.getvalue()

    def bind(self, source: str) -> None:
        """Remembers the source, and bounds every range: `contains` and `offset` would walk along it."""
        self.source = source
        static = RenderContext(self)
        for expression in _expressions(self.nodes, static):
            if type(expression) is RangeLiteral:
                expression.__class__ = _Range


class _Range(RangeLiteral):
    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        found = super().evaluate(context)
        if found.stop - found.start > MAX_LOOP:
            raise LiquidValueError(f"a range has at most {MAX_LOOP} steps", token=None)
        return found


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    for node in nodes:
        for expression in node.expressions():
            yield from _within(expression)
        yield from _expressions(node.children(context), context)


def _within(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in expression.children():
        yield from _within(child)


def _size(value: Any) -> int:
    """Characters of a value, about. Raises LiquidValueError for a number or list that nobody means."""
    kind = type(value)  # an undefined value raises when it is asked for anything, its class too
    if issubclass(kind, str):
        return len(value) + 1
    if issubclass(kind, int) and value.bit_length() > MAX_BITS:
        raise LiquidValueError("a number is too long", token=None)
    if issubclass(kind, (list, tuple, dict, range)):
        if len(value) > MAX_LOOP:
            raise LiquidValueError(f"a list has more than {MAX_LOOP} items", token=None)
        items = value.values() if kind is dict else value
        return 1 + sum(len(item) + 1 if type(item) is str else 1 for item in items)
    return 1
