"""The file rules of a policy: the choices of `models.learn.cover` as rules of the CRD, fitted to the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from models.learn.choices import VARIES, Choice
from models.learn.cover import Cover
from models.learn.result import Admission, CannotFit, LearnedRule, Options, RuleEvidence, Why
from models.learn.sensitive import Sensitive
from models.learn.stock import FORBIDDEN, Stock
from models.learn.trie import Item, tree_of
from models.policy.limits import LIMITS, Target, key_count
from models.policy.model import File, FileDirectory, FilePath, FilePattern, Source, Spec
from models.policy.policy import KubeArmorPolicy, Metadata

__all__ = ["FileRules", "file_rules"]

_EXAMPLES = 5
_KINDS = {"dir": "directory", "tree": "tree", "pattern": "pattern"}
"""What the stock calls the rules of a choice."""
_FIELDS = {"path": "match_paths", "dir": "match_directories", "tree": "match_directories", "pattern": "match_patterns"}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = Admission()
_STEPS = 14
_HIGHEST = 1e4


@dataclass(frozen=True, slots=True)
class FileRules:
    """The file rules, and what to say about them."""

    rules: tuple[LearnedRule, ...] = ()
    warnings: tuple[str, ...] = ()


def file_rules(
    items: dict[str, Item],
    units: Sequence[str],
    stock: Stock,
    sensitive: Sensitive,
    options: Options,
    rest: Spec,
    additions: Sequence[LearnedRule] = (),
) -> FileRules:
    """The cheapest file rules that the target can hold beside the `rest` of the policy and the `additions`.

    Raises `CannotFit` where no rules that are fit to be applied hold what was seen.
    """
    if not items:
        return FileRules(tuple(additions))
    limits = LIMITS[options.target]
    root = tree_of(items.values())

    def choose(pressure: float) -> list[Choice]:
        cover = Cover(stock, sensitive, len(units), options.denial_weight, limits, pressure)
        return cover.choose(root)

    def keys(some: Iterable[Choice]) -> int:
        spec = replace(rest, file=_section([*(_model(c, ()) for c in some), *(r.rule for r in additions)]))
        return key_count([KubeArmorPolicy(metadata=Metadata(name="x"), spec=spec)])

    choices = choose(0.0)
    if limits.keys is not None:
        fitted = _fitted(choose, choices, keys, limits.keys)
        if fitted is None:
            needed = keys(choices)
            raise CannotFit(
                f"{options.target} holds {limits.keys} rule keys in a container, and this workload needs {needed}",
                Target.DISCOVER,
                [f"{root.uses} paths were used; even the widest rules that are fit to be allowed need more keys"],
            )
        choices = fitted
    if options.max_file_rules is not None:
        fewer = _fitted(choose, choices, len, options.max_file_rules)
        if fewer is None or any(_price(stock, c) >= FORBIDDEN and not c.value.startswith("/proc") for c in fewer):
            raise CannotFit(
                f"no {options.max_file_rules} file rules hold what was used without admitting sensitive files",
                options.target,
                [f"{root.uses} paths were used; they take {len(choices)} rules as they are"],
                "allow more of them: --max-file-rules N",
            )
        choices = fewer
    teller = _Teller(units)
    secret = frozenset(sensitive.among([i.path for c in choices for i in c.items]))
    rules, warnings, forbidden = [], [], []
    for choice in choices:
        sources: tuple[str, ...] = ()
        if not choice.held:
            forbidden.append(choice)
            continue
        if choice.match != "path" and _price(stock, choice) >= FORBIDDEN:
            if not choice.value.startswith("/proc"):
                forbidden.append(choice)
                continue
            exes = {e for i in choice.items for e in i.exes}
            # the runtime runs from a file without a path: a rule that has to hold for it can name no source
            sources = tuple(sorted(exes)) if all(len(e) > 1 and e.startswith("/") for e in exes) else ()
            warnings.append(
                f"{choice.value} has to be allowed whole, since {options.target} has no patterns and process ids vary: "
                f"{', '.join(sources) or 'every executable'} could read the environment of every process there"
            )
        rules.append(_rule(choice, teller, stock, secret, sources))
    if forbidden:
        raise CannotFit(
            f"{options.target} cannot hold {len(forbidden)} rules for what was used: they would admit sensitive files",
            Target.DISCOVER,
            [f"{c.value}: {_why_not(c)}" for c in forbidden[:10]],
        )
    warnings += _frozen(choices, options)
    if additions:
        known = {r.rule for r in rules}
        rules += [r for r in additions if r.rule not in known]
    order = {"match_paths": 0, "match_directories": 1, "match_patterns": 2}
    rules.sort(key=lambda r: (order[r.field], r.rule.path if r.field == "match_paths" else _value(r)))
    return FileRules(tuple(rules), tuple(warnings))


def _frozen(choices: Iterable[Choice], options: Options) -> list[str]:
    """Names that will be others in the next run, where the target has no pattern and no directory fit to be allowed."""
    names: dict[str, list[str]] = {}
    for choice in choices:
        if choice.match == "path" and VARIES in choice.note:
            directory, _, name = choice.value.rpartition("/")
            names.setdefault(directory or "/", []).append(name)
    return [
        f"{directory}: names as {sorted(some)[0]} vary from run to run, {options.target} has no patterns, and the "
        "directory is not fit to be allowed: the next ones will be denied (a volume there and an addition would help)"
        for directory, some in sorted(names.items())
    ]


def _value(rule: LearnedRule) -> str:
    return str(getattr(rule.rule, "dir", None) or getattr(rule.rule, "pattern", ""))


def _why_not(choice: Choice) -> str:
    if choice.match == "path":
        return "the target can write neither the path nor a directory that is fit to be allowed"
    return "a rule as wide as that would admit sensitive files, or let new ones be written where programs lie"


def _fitted(
    choose: Callable[[float], list[Choice]], choices: list[Choice], cost: Callable[[list[Choice]], int], most: int
) -> list[Choice] | None:
    """The choices under the least pressure at which they cost no more than `most`; None where they never do."""
    if cost(choices) <= most:
        return choices
    low, high = 0.0, 0.05
    best: list[Choice] | None = None
    while high <= _HIGHEST:
        tried = choose(high)
        if cost(tried) <= most:
            best = tried
            break
        low, high = high, high * 3
    if best is None:
        return None
    for _ in range(_STEPS):
        if high - low < low * 0.05:
            break
        middle = (low + high) / 2
        tried = choose(middle)
        if cost(tried) <= most:
            best, high = tried, middle
        else:
            low = middle
    return best


def _price(stock: Stock, choice: Choice) -> float:
    if choice.match == "path":
        # what was seen is held whatever it is, if the target can write it
        return 0.0
    price = getattr(stock, _KINDS[choice.match])(choice.value)
    return float(price.of(write=choice.write))


def _model(choice: Choice, sources: tuple[str, ...]) -> FilePath | FileDirectory | FilePattern:
    read_only = None if choice.write else True
    origin = tuple(Source(path=s) for s in sources)
    owned = True if choice.match != "path" and choice.items and all(i.owned for i in choice.items) else None
    match choice.match:
        case "path":
            return FilePath(path=choice.value, read_only=read_only, from_source=origin)
        case "pattern":
            return FilePattern(pattern=choice.value, read_only=read_only, owner_only=owned)
        case _:
            directory = choice.value.rstrip("/") + "/"
            recursive = True if choice.match == "tree" else None
            return FileDirectory(dir=directory, recursive=recursive, read_only=read_only, from_source=origin)


def _section(models: Iterable[FilePath | FileDirectory | FilePattern]) -> File:
    models = list(models)
    return File(
        match_paths=tuple(m for m in models if isinstance(m, FilePath)),
        match_directories=tuple(m for m in models if isinstance(m, FileDirectory)),
        match_patterns=tuple(m for m in models if isinstance(m, FilePattern)),
        action="Allow",
    )


def _rule(
    choice: Choice, teller: _Teller, stock: Stock, secret: frozenset[str], sources: tuple[str, ...]
) -> LearnedRule:
    model = _model(choice, sources)
    note, admits = choice.note, _NOTHING
    if choice.match != "path":
        admits = stock.admission(_KINDS[choice.match], choice.value)
        if not secret.isdisjoint([i.path for i in choice.items]):
            note = f"{note}; sensitive, and it was used".removeprefix("; ")
    elif choice.value in secret:
        note = "sensitive; it was used"
    why = Why.LIMITS if choice.limits else choice.why
    return LearnedRule("file", _FIELDS[choice.match], model, teller.evidence(choice, why, note, admits))


@dataclass
class _Teller:
    """Makes the evidence of rules; what many rules share is made once."""

    units: Sequence[str]
    _units: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _sorted: dict[frozenset[str], tuple[str, ...]] = field(default_factory=dict)
    _times: dict[int, datetime] = field(default_factory=dict)

    def evidence(self, choice: Choice, why: Why, note: str = "", admits: Admission = _NOTHING) -> RuleEvidence:
        """The evidence of a rule from the paths that it covers."""
        items = choice.items
        whole = choice.whole or (Item.together(items) if items else Item(""))
        if len(items) == 1:
            examples: tuple[str, ...] = (items[0].path,)
        else:
            examples = tuple(sorted([i.path for i in items])[:_EXAMPLES])
        return RuleEvidence(
            why,
            whole.accesses,
            whole.count,
            self._named(whole.reads | whole.writes),
            self._in_order(whole.phases),
            self._in_order(whole.exes),
            self._when(whole.first),
            self._when(whole.last),
            examples,
            admits,
            note,
        )

    def _when(self, microseconds: int) -> datetime | None:
        known = self._times.get(microseconds)
        if known is None and microseconds:
            known = self._times[microseconds] = _BEGINNING + timedelta(microseconds=microseconds)
        return known

    def _named(self, bits: int) -> tuple[str, ...]:
        known = self._units.get(bits)
        if known is None:
            known = self._units[bits] = tuple(u for place, u in enumerate(self.units) if bits >> place & 1)
        return known

    def _in_order(self, names: frozenset[str]) -> tuple[str, ...]:
        known = self._sorted.get(names)
        if known is None:
            known = self._sorted[names] = tuple(sorted(names))
        return known
