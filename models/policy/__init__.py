"""KubeArmor policies: read, checked, written, and decided. One truth for simulator, enforcer and tests.

    >>> from models.policy import Access, Dialect, Op, Posture, compile, load_policies
    >>> policies = load_policies(TEXT)                                         # doctest: +SKIP
    >>> ruleset = compile(policies, Posture.all("block"), Dialect.DISCOVER)    # doctest: +SKIP
    >>> ruleset.decide(Access(op=Op.OPEN, path="/etc/shadow", source="/bin/cat", read=True)).verdict  # doctest: +SKIP
    <Verdict.BLOCK: 'block'>

**Policies.** `read_policies` (file), `load_policies` (text) give `KubeArmorPolicy`, `KubeArmorHostPolicy` and
`KubeArmorClusterPolicy`, frozen dataclasses over `Spec`; whatever is wrong is a `PolicyError` whose `problems` name
file, line, field and fix. `validate` does that for plain data, `schema` is the strict JSON schema. `dump_policy`
writes canonical YAML with comments beside rules; `PolicyFile` changes a file that people keep, comments and all.
`rules` yields every `Rule` with action, severity, tags and message inherited.

**Decisions.** `compile` turns policies, a `Posture` and a `Dialect` into a `Ruleset`; its `decide` answers an `Access`
with a `Decision`: verdict, policy, rule, errno and `Alert`s. `decide` does both for a single access. The enforcer's
table compiler reads the tables of `WrittenRuleset`.

**Limits.** `check_limits` holds a policy set against a `Target` and gives `Finding`s; `key_count` and `key_costs` count
KubeArmor's rule keys as it counts them.
"""

from models.policy.access import Access, Op, PolicyClass
from models.policy.cells import Cell, Conflict, Facts, Said
from models.policy.decision import (
    DEFAULT_POSTURE,
    DEFAULT_VISIBILITY,
    Alert,
    Decision,
    Dialect,
    Ruleset,
    Verdict,
    compile,  # noqa: A004 - as in re.compile
    decide,
)
from models.policy.editing import PolicyFile
from models.policy.errors import PolicyError, Problem, printable
from models.policy.fields import Kind
from models.policy.limits import LIMITS, Finding, Grade, Limits, Target, check_limits, key_costs, key_count
from models.policy.model import (
    API_VERSION,
    Action,
    Capabilities,
    CapabilityRule,
    Device,
    DeviceRule,
    DnsRule,
    File,
    FileDirectory,
    FilePath,
    FilePattern,
    MatchExpression,
    Network,
    NodeSelector,
    Preset,
    Process,
    ProcessDirectory,
    ProcessPath,
    ProcessPattern,
    ProtocolRule,
    Selector,
    Source,
    Spec,
    SyscallPathRule,
    SyscallRule,
    Syscalls,
    SyscallSource,
)
from models.policy.names import CAPABILITIES, PROTOCOLS, SOCKET_TYPES, SYSCALLS
from models.policy.patterns import compile_pattern
from models.policy.policy import (
    KubeArmorClusterPolicy,
    KubeArmorHostPolicy,
    KubeArmorPolicy,
    Metadata,
    Policy,
    Rule,
    rules,
)
from models.policy.posture import ANNOTATIONS, Posture
from models.policy.reading import Document, documents, load_policies, read_policies
from models.policy.start_up import START_UP, after_start_up, start_up_annotation, start_up_paths
from models.policy.validate import check, schema, validate
from models.policy.writing import dump_policies, dump_policy, quote
from models.policy.written import KeyTable, PathTable, WrittenRuleset

__all__ = [
    "ANNOTATIONS",
    "API_VERSION",
    "CAPABILITIES",
    "DEFAULT_POSTURE",
    "DEFAULT_VISIBILITY",
    "LIMITS",
    "PROTOCOLS",
    "SOCKET_TYPES",
    "START_UP",
    "SYSCALLS",
    "Access",
    "Action",
    "Alert",
    "Capabilities",
    "CapabilityRule",
    "Cell",
    "Conflict",
    "Decision",
    "Device",
    "DeviceRule",
    "Dialect",
    "DnsRule",
    "Document",
    "Facts",
    "File",
    "FileDirectory",
    "FilePath",
    "FilePattern",
    "Finding",
    "Grade",
    "KeyTable",
    "Kind",
    "KubeArmorClusterPolicy",
    "KubeArmorHostPolicy",
    "KubeArmorPolicy",
    "Limits",
    "MatchExpression",
    "Metadata",
    "Network",
    "NodeSelector",
    "Op",
    "PathTable",
    "Policy",
    "PolicyClass",
    "PolicyError",
    "PolicyFile",
    "Posture",
    "Preset",
    "Problem",
    "Process",
    "ProcessDirectory",
    "ProcessPath",
    "ProcessPattern",
    "ProtocolRule",
    "Rule",
    "Ruleset",
    "Said",
    "Selector",
    "Source",
    "Spec",
    "SyscallPathRule",
    "SyscallRule",
    "SyscallSource",
    "Syscalls",
    "Target",
    "Verdict",
    "WrittenRuleset",
    "after_start_up",
    "check",
    "check_limits",
    "compile",
    "compile_pattern",
    "decide",
    "documents",
    "dump_policies",
    "dump_policy",
    "key_costs",
    "key_count",
    "load_policies",
    "printable",
    "quote",
    "read_policies",
    "rules",
    "schema",
    "start_up_annotation",
    "start_up_paths",
    "validate",
]
