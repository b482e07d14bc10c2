"""`Review`: one workload, its recording and its policy, with every view of them worked out when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discover.check import sidecar_of
from discover.coverage import Coverage, coverage, learner
from discover.decisions import FILE_NAME, Decisions, MustSee, read_decisions
from discover.errors import UsageError
from discover.generate import Generated, Refused, Request, generate
from discover.inputs import choose, read_policy_files
from discover.review.difference import Difference, compare
from discover.review.files import FileNode, admitted_unseen, file_tree
from discover.review.peers import Link, links
from discover.review.processes import Executable, executables
from discover.review.recorded import UnitRow, unit_rows
from discover.review.rules import ReviewedRule, reviewed_rules
from discover.simulate import simulate_one
from models.behaviour import Phase
from models.completeness import AT_MOST
from models.dataset import Dataset
from models.evidence import Evidence, Seen, accesses, gather
from models.learn import CannotFit, Options, Outlier, RuleEvidence, learn
from models.learn.sensitive import Sensitive
from models.learn.sidecar import places
from models.policy import Dialect, Policy, Target, dump_policy
from models.simulate import Simulation

if TYPE_CHECKING:
    import pandas as pd

    from discover.review.showing import Picture

__all__ = ["Review", "known_rules", "open_review", "open_reviews", "request_with"]


@dataclass(frozen=True)
class Review:
    """One workload under review. Nothing is computed before it is asked for, and nothing twice."""

    dataset: Dataset = field(repr=False)
    evidence: Evidence
    policies: tuple[Policy, ...]
    request: Request
    """What the policy was, or would be, learned with."""
    generated: Generated | None = field(default=None, repr=False)
    """Where the policy was learned here and now."""
    known: Mapping[str, RuleEvidence] = field(default_factory=dict, repr=False)
    """Evidence that stands beside the policy file, by ``POLICY:FIELD`` (see `models.learn.sidecar`)."""
    against: tuple[Policy, ...] | None = None
    """The policies in force, to compare with."""
    source: Path | None = None
    """The file of the policy."""
    assumed: tuple[str, ...] = ()
    at_most: float = AT_MOST

    # -- what was recorded -------------------------------------------------------------------------------------------

    @cached_property
    def everything(self) -> list[Seen]:
        """The distinct accesses, people's exec sessions included."""
        return accesses(self.evidence.behaviours, leave_out=())

    @cached_property
    def seen(self) -> list[Seen]:
        """The distinct accesses that a policy is learned from."""
        leave_out = () if self.request.options.sessions else (Phase.EXEC_SESSION,)
        return accesses(self.evidence.behaviours, leave_out=leave_out)

    @cached_property
    def units(self) -> tuple[UnitRow, ...]:
        """Each unit with what it did in each phase."""
        return unit_rows(self.evidence, self._told)

    @cached_property
    def _told(self) -> list[dict[str, Any]]:
        rows = self.dataset.units().to_pylist(maps_as_pydicts="lossy")
        return [r for r in rows if r["unit"] in set(self.evidence.units)]

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Who talked with whom."""
        return links(self.evidence)

    @cached_property
    def processes(self) -> tuple[Executable, ...]:
        """The executables as a tree in depth-first order, with what each did."""
        return executables(self.everything, self.links)

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """The units that behave unlike the others."""
        if self.generated is not None:
            return self.generated.learned.outliers
        try:
            return learn(self.evidence, replace(self.request.options, target=Target.DISCOVER)).outliers
        except CannotFit:  # no limit there can be passed
            return ()

    @cached_property
    def coverage(self) -> Coverage:
        """How much has been seen. Learns once for each unit that is left out: seconds."""
        told = [(m.text, m.met) for m in self.must_see]
        return coverage(self.evidence, learn=learner(), units=self._told, must_sees=told, at_most=self.at_most)

    @cached_property
    def must_see(self) -> tuple[MustSee, ...]:
        """What people decided has to be recorded, and whether it was."""
        drills = {d for row in self._told for d in row["drills"] or ()}
        return tuple(self.request.decisions.must_sees(self.evidence, drills))

    # -- what the policy does ----------------------------------------------------------------------------------------

    @cached_property
    def sensitive(self) -> Sensitive:
        """Says which paths are sensitive, what people added included."""
        return Sensitive((*self.request.options.sensitive, *(d.value for d in self.request.decisions.sensitive)))

    @cached_property
    def unseen(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Existing files that a rule admits and nothing was seen to use, by policy and field path of the rule."""
        return admitted_unseen(self.policies, self.evidence, self.seen)

    @cached_property
    def rules(self) -> tuple[ReviewedRule, ...]:
        """Each rule with what it allows, why it is there, and why a person should look."""
        return reviewed_rules(self)

    @cached_property
    def first(self) -> tuple[ReviewedRule, ...]:
        """The rules that need a person's eye, those that need it most first."""
        return tuple(sorted((r for r in self.rules if r.attention), key=lambda r: (-r.weight, r.where)))

    @cached_property
    def files(self) -> FileNode:
        """The files as a tree: observed, generalised, admitted but unseen, denied, sensitive."""
        return file_tree(self)

    @cached_property
    def simulation(self) -> Simulation:
        """What the policy would deny of everything that was recorded, units that were set apart included."""
        return simulate_one(self.policies, self.evidence, dialect=self.dialect)

    @property
    def dialect(self) -> Dialect:
        """Whose semantics decide: the target's, as far as they are known here."""
        kubearmor = self.target in (Target.KUBEARMOR_BPFLSM, Target.PORTABLE)
        return Dialect.KUBEARMOR_BPFLSM if kubearmor else Dialect.DISCOVER

    @property
    def target(self) -> Target:
        """The target that the policy was written for, by its annotation."""
        if self.generated is not None:
            return self.generated.learned.options.target
        for policy in self.policies:
            name = (policy.metadata.annotations or {}).get("discover.kubearmor.io/target")
            if name in set(Target):
                return Target(name)
        return self.request.options.target

    @cached_property
    def difference(self) -> Difference | None:
        """What changes against the policies in force; None where there is nothing to compare with."""
        return None if self.against is None else compare(self.against, self.policies, self.everything)

    @cached_property
    def text(self) -> str:
        """The policy as YAML."""
        if self.generated is not None:
            return self.generated.text
        if self.source is not None:
            return self.source.read_text(encoding="utf-8", errors="replace")
        return "---\n".join(dump_policy(p) for p in self.policies)

    def rule(self, text: str) -> pd.DataFrame:
        """What one rule covers: the accesses, by whom, how often and where. `text` is its place, or part of its value.

        Raises `UsageError` where no rule, or more than one, is meant.
        """
        from discover.review import frames  # noqa: PLC0415 - pandas is heavy

        exact = [r for r in self.rules if text in (r.where, r.rule.where, r.rule.value)]
        found = exact or [r for r in self.rules if text in r.rule.value]
        if len(found) != 1:
            some = ", ".join(r.rule.value for r in found[:5]) or "none"
            raise UsageError(f"{len(found)} rules fit {text!r}", f"they are: {some}")
        return frames.accesses_frame(found[0])

    # -- changing it -------------------------------------------------------------------------------------------------

    def relearn(self, *, decisions: Decisions | None = None, at_most: float | None = None, **options: Any) -> Review:
        """Learn the policy again with other thresholds, and compare with this one.

        `options` are the attributes of `models.learn.Options`: `denial_weight`, `keep_outliers`, `sessions`, `target`…
        Raises `UsageError` for one that is not there, and what `open_review` raises.
        """
        known = Options.__dataclass_fields__
        for name in options:
            if name not in known:
                raise UsageError(f"no option {name!r}", f"there are {', '.join(known)}, decisions and at_most")
        if "target" in options:
            options["target"] = Target(options["target"])
        request = replace(
            self.request,
            options=replace(self.request.options, **options),
            decisions=self.request.decisions if decisions is None else decisions,
        )
        made = _learned(self.dataset, replace(request, workload=str(self.evidence.workload)))
        return replace(
            self,
            policies=(made.policy,),
            request=request,
            generated=made,
            known=known_rules(made),
            against=self.policies,
            source=None,
            assumed=made.assumed,
            at_most=self.at_most if at_most is None else at_most,
        )

    # -- pictures and tables, for notebooks ----------------------------------------------------------------------------

    def picture(self, name: str) -> Picture:
        """One of ``units``, ``processes``, ``files``, ``peers``, ``curve``, ``chances``, ``simulation``."""
        from discover.review import pictures  # noqa: PLC0415 - altair is heavy

        return pictures.picture(self, name)

    def table(self, name: str) -> pd.DataFrame:
        """One of the tables.

        There are ``facts``, ``first``, ``rules``, ``units``, ``outliers``, ``coverage``, ``sensitive``, ``simulation``
        and ``difference``.
        """
        from discover.review import frames  # noqa: PLC0415 - pandas is heavy

        return frames.frame(self, name)


def open_review(
    dataset: Dataset,
    policy: str | Path | Sequence[Policy] | None = None,
    *,
    workload: str | None = None,
    against: str | Path | Sequence[Policy] | None = None,
    request: Request | None = None,
    select: Sequence[str] = (),
    at_most: float = AT_MOST,
) -> Review:
    """Put one workload of a dataset under review; see `open_reviews`.

    Raises `UsageError` where the dataset holds several workloads and none is named.
    """
    found = list(
        open_reviews(
            dataset, policy, workload=workload, against=against, request=request, select=select, at_most=at_most
        )
    )
    if len(found) > 1:
        names = ", ".join(str(r.evidence.workload) for r in found)
        raise UsageError(f"several workloads were recorded: {names}", "name one: --workload NAME")
    return found[0]


def open_reviews(
    dataset: Dataset,
    policy: str | Path | Sequence[Policy] | None = None,
    *,
    workload: str | None = None,
    against: str | Path | Sequence[Policy] | None = None,
    request: Request | None = None,
    select: Sequence[str] = (),
    at_most: float = AT_MOST,
) -> Iterator[Review]:
    """Put each workload of a dataset under review, with the policy of a file or, without one, with a learned policy.

    `against` are the policies in force; `select` is what `discover.inputs.choose` takes. Raises `UsageError` for a
    workload that is not there, for a policy that selects none of them, and where the target cannot hold a workload.
    """
    request = request or Request()
    everything = gather(dataset)
    wanted = [e for e in everything if workload in (None, e.workload.name, str(e.workload))]
    if not wanted:
        have = ", ".join(str(e.workload) for e in everything) or "none"
        raise UsageError(f"no workload {workload!r} in what was recorded", f"there are: {have}")
    old = None if against is None else _policies(against)[0]
    if policy is None:
        for evidence in wanted:
            made = _learned(dataset, replace(request, workload=str(evidence.workload)))
            force = None if old is None else choose(old, evidence, select).policies
            yield Review(
                dataset, evidence, (made.policy,), request, made, known_rules(made), force, None, made.assumed, at_most
            )
        return
    policies, known, files = _policies(policy)
    chosen = [(e, choose(policies, e, select)) for e in wanted]
    if not any(c.policies for _, c in chosen):
        names = ", ".join(str(e.workload) for e in wanted)
        raise UsageError(f"no policy selects {names}", "say what it is with --select LABEL=VALUE, or --select NAME")
    for evidence, choice in chosen:
        if choice.policies:
            force = None if old is None else choose(old, evidence, select).policies
            holding = {files.get(id(p)) for p in choice.policies}
            source = holding.pop() if len(holding) == 1 else None
            yield Review(
                dataset,
                evidence,
                choice.policies,
                request,
                None,
                known,
                force,
                source,
                choice.assumed,
                at_most,
            )


def _learned(dataset: Dataset, request: Request) -> Generated:
    made = next(generate(dataset, request))
    if isinstance(made, Refused):
        raise UsageError(f"{made.evidence.workload}: {made.error}", made.error.hint)
    return made


def known_rules(made: Generated) -> dict[str, RuleEvidence]:
    """The evidence of a learned policy's rules, by ``POLICY:FIELD``."""
    learned = made.learned
    pairs = zip(places(learned.rules), learned.rules, strict=True)
    return {f"{made.policy.name}:{where}": rule.evidence for where, rule in pairs}


def _policies(given: str | Path | Sequence[Policy]) -> tuple[list[Policy], dict[str, RuleEvidence], dict[int, Path]]:
    """The policies of a file or folder, the evidence beside them, and the file of each (by ``id``)."""
    if not isinstance(given, str | Path):
        return list(given), {}, {}
    place = Path(given)
    if not place.exists():
        raise UsageError(f"{place} does not exist", "name a policy file, or a folder of them")
    files = [place] if place.is_file() else sorted(f for f in place.rglob("*.y*ml") if _holds_policy(f))
    policies: list[Policy] = []
    known: dict[str, RuleEvidence] = {}
    holding: dict[int, Path] = {}
    for file, found in read_policy_files(files).items():
        policies += found
        holding |= {id(p): file for p in found}
        if (sidecar := sidecar_of(file)) is not None:
            known |= {f"{sidecar.policy}:{where}": e for where, e in sidecar.rules.items()}
    return policies, known, holding


def _holds_policy(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as text:
        return "security.kubearmor.com" in text.read(1 << 16)


def request_with(decisions: str | Path | None = None, policy: str | Path | None = None, **given: Any) -> Request:
    """A request that obeys a decisions file: the one named, else ``discover.yaml`` beside the policy."""
    file = Path(decisions) if decisions else None
    if file is None:
        place = Path(policy) if policy else Path()
        beside = (place if place.is_dir() else place.parent) / FILE_NAME
        file = beside if beside.is_file() else None
    return Request(decisions=read_decisions(file) if file else Decisions(), **given)
