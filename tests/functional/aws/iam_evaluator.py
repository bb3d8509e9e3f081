"""A small evaluator of IAM policies: as much of the language as ours use, and no more.

What it does not know it refuses to judge, so that a policy cannot pass by being misunderstood.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ask:
    """A permission that a call needs: one action on one resource.

    Attributes:
        action: Such as ``sqs:SendMessage``.
        resource: An ARN, or ``*`` for an action that knows no resources.
        context: Condition keys and their values.
    """

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


def allows(policy: Mapping[str, Any], ask: Ask) -> bool:
    """Check whether a policy allows the request."""
    return any(statement_allows(one, ask) for one in policy["Statement"])


def statement_allows(statement: Mapping[str, Any], ask: Ask) -> bool:
    """Check whether one statement allows the request."""
    assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}, statement
    assert statement["Effect"] == "Allow", statement
    return (
        _matches(statement["Action"], ask.action, ignore_case=True)
        and _matches(statement["Resource"], ask.resource)
        and _holds(statement.get("Condition", {}), ask.context)
    )


def _matches(patterns: Sequence[str], value: str, *, ignore_case: bool = False) -> bool:
    assert not isinstance(patterns, str), "ours are lists"
    flags = re.IGNORECASE if ignore_case else 0
    return any(re.fullmatch(_expression(one), value, flags) for one in patterns)


def _expression(pattern: str) -> str:
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)


def _holds(conditions: Mapping[str, Mapping[str, str]], context: Mapping[str, str]) -> bool:
    for operator, wanted in conditions.items():
        assert operator in ("StringEquals", "Bool", "Null"), operator
        for key, value in wanted.items():
            found = str(key not in context).lower() if operator == "Null" else context.get(key)
            if found != value:
                return False
    return True
