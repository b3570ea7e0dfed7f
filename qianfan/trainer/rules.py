"""Rules about metrics: `accuracy >= 0.8 and "short enough" > 0.9`, read by a small parser that runs nothing.

A rule compares metrics by name with numbers. Comparisons are joined by `and`, `or`, `not` and parentheses; names with
spaces or odd characters stand in quotes. A dictionary `{"accuracy": ">= 0.8", ...}` is a rule that all of it must hold.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from qianfan._strict import nearest
from qianfan.errors import InvalidArgumentError

__all__ = ["Rule", "metrics_in", "parse_rule"]

LONGEST = 2000
"""Characters of a rule."""

DEEPEST = 20
"""How deep parentheses and `not` may stand inside each other."""

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = ("and", "or", "not")
_NAME = r"[^\W\d](?:[\w./@-]*\w)?"
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<operator>>=|<=|==|!=|>|<)
    | (?P<parenthesis>[()])
    | (?P<name>{_NAME})
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | '(?P<apostrophes>[^'\\]*)'
    | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Compare:
    """One metric against a number."""

    metric: str
    how: str
    bound: float

    def holds(self, metrics: Mapping[str, Any]) -> bool:
        return _COMPARE[self.how](_number(self.metric, metrics), self.bound)

    def __str__(self) -> str:
        is_plain = re.fullmatch(_NAME, self.metric) and self.metric not in _WORDS
        name = self.metric if is_plain else json.dumps(self.metric, ensure_ascii=False)
        return f"{name} {self.how} {self.bound!r}"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    rule: Rule

    def holds(self, metrics: Mapping[str, Any]) -> bool:
        return not self.rule.holds(metrics)

    def __str__(self) -> str:
        return f"not {_inside(self.rule)}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Several rules, all or one of which must hold. All are looked at, so that a missing metric is always noticed."""

    how: Literal["and", "or"]
    rules: tuple[Rule, ...]

    def holds(self, metrics: Mapping[str, Any]) -> bool:
        told = [rule.holds(metrics) for rule in self.rules]
        return all(told) if self.how == "and" else any(told)

    def __str__(self) -> str:
        return f" {self.how} ".join(map(_inside, self.rules))


Rule: TypeAlias = Compare | Not | Joined


def parse_rule(given: str | Mapping[str, Any]) -> Rule:
    """The rule that a text or a dictionary says. Raises InvalidArgumentError that names the place of a mistake."""
    if isinstance(given, str):
        return _Parser(given).rule()
    if not given:
        raise InvalidArgumentError("a rule needs at least one metric, for example {'accuracy': '>= 0.8'}")
    rules = tuple(_condition(str(name), text) for name, text in given.items())
    return rules[0] if len(rules) == 1 else Joined("and", rules)


def metrics_in(rule: Rule) -> set[str]:
    """The names of the metrics that a rule looks at."""
    if isinstance(rule, Compare):
        return {rule.metric}
    inside = (rule.rule,) if isinstance(rule, Not) else rule.rules
    return set[str]().union(*map(metrics_in, inside))


def _inside(rule: Rule) -> str:
    return str(rule) if isinstance(rule, (Compare, Not)) else f"({rule})"


def _condition(name: str, text: Any) -> Rule:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name!r} must be a text such as '>= 0.8', not {text!r}: say how it is compared")
    parser = _Parser(text)
    how, bound = parser.comparison(f"the condition of {name!r}")
    parser.expect_end()
    return Compare(name, how, bound)


def _number(name: str, metrics: Mapping[str, Any]) -> float:
    """A metric as a number: of yes and no 1 and 0, of a percentage what stands before the sign."""
    if name not in metrics:
        close = nearest(name, metrics)
        hint = f"did you mean {close!r}?" if close else f"it gave {', '.join(sorted(metrics)) or 'none at all'}"
        raise InvalidArgumentError(f"the rule needs the metric {name!r}, which the evaluation did not give; {hint}")
    value = metrics[name]
    try:
        number = float(value.strip().removesuffix("%") if isinstance(value, str) else value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise InvalidArgumentError(f"the metric {name!r} is {value!r}, which is no number to compare")
    return number


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise InvalidArgumentError(f"a rule has at most {LONGEST} characters, this one has {len(text)}")
        self._text = text
        self._tokens = [*self._split()]
        self._next = 0
        self._depth = 0

    def _split(self) -> Iterator[_Token]:
        at = 0
        while True:
            found = _TOKEN.match(self._text, at)
            if found is None:
                rest = self._text[at:]
                self._refuse(_odd(rest.lstrip()), at + len(rest) - len(rest.lstrip()))
            kind = str(found.lastgroup)
            text = found[kind]
            if kind == "name" and text in _WORDS:
                kind = text
            elif kind == "quoted":
                kind, text = "name", self._unquoted(f'"{text}"', found.start(kind))
            elif kind == "apostrophes":
                kind = "name"
            yield _Token(kind, text, found.start(str(found.lastgroup)))
            if kind == "end":
                return
            at = found.end()

    def _unquoted(self, quoted: str, at: int) -> str:
        try:
            return str(json.loads(quoted, strict=False))
        except ValueError:
            self._refuse(f"{quoted} is no text in quotes", at)

    # --- any = all {"or" all}; all = one {"and" one}; one = "not" one | "(" any ")" | name how number -----------

    def rule(self) -> Rule:
        rule = self._any()
        self.expect_end()
        return rule

    def _any(self) -> Rule:
        return self._joined("or", self._all)

    def _all(self) -> Rule:
        return self._joined("and", self._one)

    def _joined(self, how: Literal["and", "or"], part: Callable[[], Rule]) -> Rule:
        rules = [part()]
        while self._take(how):
            rules.append(part())
        return rules[0] if len(rules) == 1 else Joined(how, tuple(rules))

    def _one(self) -> Rule:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"more than {DEEPEST} parentheses or nots inside each other", self._now.at)
        rule = self._not_or_less()
        self._depth -= 1
        return rule

    def _not_or_less(self) -> Rule:
        if self._take("not"):
            return Not(self._one())
        if self._take("parenthesis", "("):
            rule = self._any()
            if not self._take("parenthesis", ")"):
                self._refuse("a parenthesis is not closed", self._now.at)
            return rule
        name = self._now
        if not self._take("name"):
            self._refuse("the name of a metric is missing here", name.at)
        return Compare(name.text, *self.comparison(repr(name.text)))

    def comparison(self, what: str) -> tuple[str, float]:
        """An operator and a number."""
        how = self._now
        if not self._take("operator"):
            self._refuse(f"{what} needs one of {' '.join(_COMPARE)} and a number", how.at)
        bound = self._now
        if not self._take("number"):
            self._refuse(f"a number is missing after {how.text!r}", bound.at)
        if not math.isfinite(float(bound.text)):
            self._refuse(f"{bound.text} is too large", bound.at)
        return how.text, float(bound.text)

    def expect_end(self) -> None:
        if self._now.kind != "end":
            self._refuse(f"{self._now.text!r} is not expected here; join comparisons with and, or", self._now.at)

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, kind: str, text: str | None = None) -> bool:
        is_it = self._now.kind == kind and text in (None, self._now.text)
        self._next += is_it
        return is_it

    def _refuse(self, why: str, at: int) -> NoReturn:
        text = self._text if len(self._text) <= 80 else f"{self._text[: max(at, 60)][-60:]}…"
        raise InvalidArgumentError(f"the rule {text!r} cannot be read at character {at + 1}: {why}")


def _odd(rest: str) -> str:
    if rest.startswith("="):
        return "'=' compares nothing; write =="
    if rest.startswith("%"):
        return "a percentage is compared by the number before the sign; leave '%' out"
    if rest.startswith(("&", "|", "!")):
        return f"{rest[0]!r} is not known; write and, or, not"
    return "a quotation mark is not closed" if rest.startswith(('"', "'")) else f"{rest[0]!r} is not known"
