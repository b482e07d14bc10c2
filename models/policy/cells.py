"""What the rules on one key of the written semantics say together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from models.policy.access import CREATES_NAME, Access, Op
from models.policy.model import Action
from models.policy.policy import Rule

__all__ = ["Cell", "Conflict", "Facts", "Said"]


class Said(Enum):
    """The answer of one key."""

    ALLOW = auto()
    AUDIT = auto()
    BLOCK = auto()
    NOT_PERMITTED = auto()
    """It is listed, but not for this: the posture decides."""
    NOTHING = auto()
    """Only Block rules, and none is about this: ask the next key."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two rules on one key of which one never takes effect."""

    wins: Rule
    loses: Rule


@dataclass(frozen=True, slots=True)
class Facts:
    """What the flags of a rule ask about an access."""

    reads_only: bool
    owner: bool
    tty: bool
    arguments: tuple[str, ...] | None

    @classmethod
    def of(cls, access: Access, *, second: bool = False) -> Facts:
        """Read them from an access; `second` for the new name of a rename or link.

        Whoever makes a name owns it if they own its directory. What is not known counts as not owned.
        """
        op = access.op
        reads = op is Op.EXEC or (op is Op.OPEN and not (access.write or access.create or access.truncate))
        owner = access.owner_match
        if owner is None and (second or op in CREATES_NAME or access.create):
            owner = access.parent_owner_match
        arguments = access.argv[1:] if access.argv is not None else None
        return cls(reads, bool(owner), access.tty, arguments)

    def permitted_by(self, rule: Rule) -> bool:
        """Whether a rule's flags permit the access."""
        return not (
            (rule.read_only and not self.reads_only)
            or (rule.owner_only and not self.owner)
            or (rule.no_terminal and self.tty)
            or (rule.allowed_args and (self.arguments is None or not set(self.arguments) <= set(rule.allowed_args)))
        )


def _flagged(rule: Rule) -> bool:
    return bool(rule.read_only or rule.owner_only or rule.no_terminal or rule.allowed_args)


class Cell:
    """The rules on one key."""

    __slots__ = ("constant", "rules")

    def __init__(self, rules: list[Rule] | None = None) -> None:
        self.rules: list[Rule] = []
        self.constant: tuple[Said, Rule] | None = None
        """The answer, where no flag can change it."""
        for rule in rules or ():
            self.add(rule)

    def add(self, rule: Rule) -> None:
        """Add a rule, and see whether the answer is now the same for every access."""
        self.rules.append(rule)
        self.constant = None
        whole = [r for r in self.rules if not _flagged(r)]
        for action, said in ((Action.BLOCK, Said.BLOCK), (Action.AUDIT, Said.AUDIT), (Action.ALLOW, Said.ALLOW)):
            first = next((r for r in whole if r.action is action), None)
            if first is not None:
                self.constant = (said, first)
            if first is not None or any(r.action is action for r in self.rules):
                break

    def judge(self, facts: Facts) -> tuple[Said, Rule]:
        """Answer for one access: Block over Audit over Allow."""
        found: dict[Action, Rule] = {}
        for rule in self.rules:
            permitted = facts.permitted_by(rule)
            about = (not permitted or not _flagged(rule)) if rule.action is Action.BLOCK else permitted
            if about:
                found.setdefault(rule.action, rule)
        for action, said in ((Action.BLOCK, Said.BLOCK), (Action.AUDIT, Said.AUDIT), (Action.ALLOW, Said.ALLOW)):
            if action in found:
                return said, found[action]
        listed = next((r for r in self.rules if r.action is not Action.BLOCK), None)
        return (Said.NOT_PERMITTED, listed) if listed else (Said.NOTHING, self.rules[0])

    def conflicts(self) -> Iterator[Conflict]:
        """Yield the rules that an unconditional Block on the same key makes pointless."""
        block = next((r for r in self.rules if r.action is Action.BLOCK and not _flagged(r)), None)
        if block is not None:
            for rule in self.rules:
                if rule.action is not Action.BLOCK:
                    yield Conflict(block, rule)
