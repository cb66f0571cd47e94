"""Path patterns and query keys: the little language in which a manifest says what may be asked for.

A pattern is a path whose segments are literal, or `{name:class:lengths}`:

    /organisations/vat/check-vat-number/lookup/{targetVrn:digits:9|12}

`class` is one of `CLASSES`; `lengths` are numbers or ranges joined by `|`. A variable stands for one whole segment.
Matching compares the raw path: nothing is decoded, no slash is forgiven, there is no regular expression, and the
cost is linear in the path. No class holds "%", "/", ";" or ".", so a variable matches neither an escape nor a dot
segment nor a path parameter.

A query key is `key` (present without "=": `?wsdl`) or `key=` (present with a value, possibly empty). It may end in
brackets, as forms nest and repeat: `created[gte]=`, `expand[0]=`, `expand[]=`. Only a key that ends in `[]` may occur
more than once. A bracket in a URL is always written `%5B` or `%5D` (RFC 3986), and those two escapes are the only ones
that a key may have.
"""

import re
import string
from dataclasses import dataclass

from policy.errors import NotAllowed, PatternError
from policy.url import UNRESERVED

MAX_PATTERN_BYTES = 512  # ours: the longest published path of our upstreams has 77
MAX_VARIABLE_LENGTH = 64  # ours: a SHA-256 in hexadecimal, the longest identifier in a path we know of

_BRACKETS = re.compile(r"(?:\[[A-Za-z0-9_]*\])*")  # after the name of a query key
_ESCAPED_BRACKETS = {"%5B": "[", "%5b": "[", "%5D": "]", "%5d": "]"}

_ALPHANUMERIC = string.ascii_letters + string.digits
CLASSES = {
    "digits": frozenset(string.digits),
    "upper": frozenset(string.ascii_uppercase),
    "alnum": frozenset(_ALPHANUMERIC),
    "id": frozenset(_ALPHANUMERIC + "_-"),  # Stripe's object ids (ch_3Ln3fO2eZvKYlo2C1kqP3AMr) and UUIDs
    # The VIES WSDL types a number as [0-9A-Za-z\+\*\.]{2,12}; old Irish numbers have a "+" or "*" in second place.
    # No member state's format has a dot, and a dot in a path is better not variable.
    "vat": frozenset(_ALPHANUMERIC + "+*"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A segment that is exactly this text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A segment of some characters and some lengths."""

    name: str
    characters: frozenset[str]
    lengths: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """A pattern, and the text that it was read from; `literal` where it has no variable, and is just that text."""

    text: str
    segments: tuple[Literal | Variable, ...]
    literal: bool

    def matches(self, path: str) -> bool:
        """Whether the raw path of a URL, as `url.parse` returns it, fits segment by segment."""
        if self.literal:
            return path == self.text
        before, *segments = path.split("/")
        return not before and len(segments) == len(self.segments) and all(map(_fits, self.segments, segments))

    def overlaps(self, other: "PathPattern") -> bool:
        """Whether some path fits both patterns."""
        return len(self.segments) == len(other.segments) and all(map(_meet, self.segments, other.segments))


def parse_pattern(text: str) -> PathPattern:
    """Read a path pattern.

    Raises:
        PatternError: not a path, an unknown class, an impossible length, a repeated variable name.
    """
    if not text.startswith("/") or len(text) > MAX_PATTERN_BYTES:
        raise PatternError(f"a path begins with / and has at most {MAX_PATTERN_BYTES} characters")
    *inner, last = text[1:].split("/")
    if not all(inner):
        raise PatternError("a path has an empty segment")
    segments = tuple(_parse_segment(segment) for segment in [*inner, last])
    names = [segment.name for segment in segments if isinstance(segment, Variable)]
    if len(names) != len(set(names)):
        raise PatternError("two variables have the same name")
    return PathPattern(text=text, segments=segments, literal=not names)


def parse_query_key(text: str) -> str:
    """Return `text` if it is a query key: unreserved characters, then brackets if any, then `=` if a value follows.

    Raises:
        PatternError: anything else.
    """
    name, bracket, rest = text.removesuffix("=").partition("[")
    if not name or not UNRESERVED.issuperset(name) or not _BRACKETS.fullmatch(bracket + rest):
        raise PatternError("a query key is letters, digits and -._~, then [...] if any, then = if a value follows")
    return text


def check_query(query: str | None, required: frozenset[str], optional: frozenset[str]) -> None:
    """Return if `query`, as `url.parse` returns it, has each required key, and besides at most the optional ones, once.

    Keys are compared raw but for brackets, so another escaped spelling of a listed key is not that key. A key that ends
    in `[]` may occur more than once. Values are free within the query grammar of RFC 3986, but for ";", which some
    servers read as another "&".

    Raises:
        NotAllowed: otherwise. The message counts parameters and does not repeat them.
    """
    keys = [] if query is None else [_query_key(part) for part in query.split("&")]
    for number, key in enumerate(keys, start=1):
        if key not in required | optional:
            raise NotAllowed("query.not-allowed", f"query parameter {number} is not in the list for this path")
    single = [key.removesuffix("=") for key in keys if not key.endswith("[]=")]
    if len(single) != len(set(single)):
        raise NotAllowed("query.repeated", "a query parameter occurs twice")
    if missing := sorted(required.difference(keys)):
        raise NotAllowed("query.missing", f"the query has no {', '.join(missing)}")


def _query_key(part: str) -> str:
    key, equals, _ = part.partition("=")
    if not key or ";" in part:
        raise NotAllowed("query.malformed", "the query has a parameter without a name, or a ';'")
    for escape, bracket in _ESCAPED_BRACKETS.items():
        key = key.replace(escape, bracket)
    return key + equals


def _parse_segment(text: str) -> Literal | Variable:
    if text.startswith("{") and text.endswith("}"):
        return _parse_variable(text[1:-1])
    if not UNRESERVED.issuperset(text) or text in {".", ".."}:
        raise PatternError(f"segment {text!r} is neither unreserved characters nor {{name:class:lengths}}")
    return Literal(text=text)


def _parse_variable(text: str) -> Variable:
    name, colon, rest = text.partition(":")
    kind, second_colon, lengths = rest.partition(":")
    if not colon or not second_colon or not CLASSES["alnum"].issuperset(name) or not name:
        raise PatternError(f"variable {text!r} is not name:class:lengths")
    if kind not in CLASSES:
        raise PatternError(f"class {kind!r} is not one of {', '.join(CLASSES)}")
    allowed = frozenset(length for part in lengths.split("|") for length in _parse_lengths(part))
    return Variable(name=name, characters=CLASSES[kind], lengths=allowed)


def _parse_lengths(text: str) -> range:
    least, dash, most = text.partition("-")
    first = _parse_length(least)
    last = _parse_length(most) if dash else first
    if first > last:
        raise PatternError(f"length {text!r} ends before it begins")
    return range(first, last + 1)


def _parse_length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2) or not 1 <= int(text) <= MAX_VARIABLE_LENGTH:
        raise PatternError(f"length {text!r} is not a number from 1 to {MAX_VARIABLE_LENGTH}")
    return int(text)


def _fits(pattern: Literal | Variable, segment: str) -> bool:
    if isinstance(pattern, Literal):
        return segment == pattern.text
    return len(segment) in pattern.lengths and pattern.characters.issuperset(segment)


def _meet(one: Literal | Variable, other: Literal | Variable) -> bool:
    if isinstance(one, Literal):
        return _fits(other, one.text)
    if isinstance(other, Literal):
        return _fits(one, other.text)
    return bool(one.lengths & other.lengths) and bool(one.characters & other.characters)
