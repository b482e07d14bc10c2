"""Doctor's verdicts and words, on hosts that are made up."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bpf.errors import LibbpfMissing
from collectors.live.backend import Refusal
from collectors.probe import choice as choosing
from collectors.probe.attempts import HELPERS, MAPS, PROGRAMS, Attempt, Outcome, errno_name, last_words
from collectors.probe.choice import Choice
from collectors.probe.kernel import CONFIG, Kernel, mount_points, read_config
from collectors.probe.security import Security, lockdown_mode, lsm_names
from collectors.probe.tools import Tools, bcc_version
from discover.cli import doctor
from discover.doctor import facts as gathering
from discover.doctor.enforcement import Verdict, judge
from discover.doctor.facts import Facts, Runtime
from discover.doctor.report import as_json, hint, lines, more

WATCHED = {name: {"state": "watched", "note": ""} for name in ("exec", "file", "socket", "capability")}


def works(names: object) -> list[Attempt]:
    return [Attempt(name, "", Outcome.WORKS) for name in names]  # type: ignore[attr-defined]


ABLE = Facts(
    root=True,
    full=True,
    kernel=Kernel(
        release="6.1.0-42-amd64",
        machine="x86_64",
        distribution="Debian GNU/Linux 12 (bookworm)",
        btf_bytes=5_000_000,
        path_hooks=True,
        config=dict.fromkeys(CONFIG, "y"),
        config_from="/boot/config-6.1.0-42-amd64",
        mounts={"bpffs": "/sys/fs/bpf", "securityfs": "/sys/kernel/security", "tracefs": None, "cgroup2": "/c"},
        memlock=(8 << 20, -1),
        unprivileged_bpf="2",
        own_user_namespace=False,
    ),
    security=Security(
        lsms=("capability", "apparmor", "bpf"),
        lsms_from="/sys/kernel/security/lsm",
        lockdown="none",
        securityfs_mounted=True,
        apparmor=True,
        apparmor_parser="/sbin/apparmor_parser",
        kubearmor=(77,),
    ),
    programs=works(PROGRAMS),
    helpers=works(HELPERS),
    maps=works(MAPS),
    choice=Choice("lsm", "observer.lsm", WATCHED, [], "v2", "unified"),
    tools=Tools("1.1", None, None),
    runtimes=[Runtime("podman", True, 2, ""), Runtime("docker", False, 0, "")],
    seconds=0.5,
)


def with_program(name: str, outcome: Outcome, errno: int, facts: Facts = ABLE) -> Facts:
    changed = [Attempt(name, "", outcome, errno, "why") if a.name == name else a for a in facts.programs]
    return replace(facts, programs=changed)


def with_kernel(**values: object) -> Facts:
    return replace(ABLE, kernel=replace(ABLE.kernel, **values))  # type: ignore[arg-type]


def with_security(**values: object) -> Facts:
    return replace(ABLE, security=replace(ABLE.security, **values))  # type: ignore[arg-type]


def verdict(facts: Facts, backend: str) -> Verdict:
    return next(v for v in judge(facts) if v.backend == backend)


def test_able_host_has_all_three() -> None:
    assert [(v.backend, v.possible) for v in judge(ABLE)] == [
        ("bpf-lsm", True),
        ("apparmor", True),
        ("kubearmor", True),
    ]


@pytest.mark.parametrize(
    ("facts", "what", "advice"),
    [
        (with_program("lsm", Outcome.REFUSED, 1), "refuses LSM programs (EPERM)", "another kernel"),
        (with_program("lsm", Outcome.REFUSED, 3), "no BPF LSM", "CONFIG_BPF_LSM=y"),
        (with_program("fentry", Outcome.LOADS, 524), "cannot be attached (ENOTSUPP)", "DIRECT_CALLS"),
        (with_program("fentry", Outcome.LOADS, 524, with_kernel(machine="aarch64")), "cannot be attached", "6.4"),
        (with_program("lsm_path", Outcome.REFUSED, 22), "on paths are refused (EINVAL)", "CONFIG_SECURITY_PATH=y"),
        (with_kernel(path_hooks=False), "CONFIG_SECURITY_PATH is off", "CONFIG_SECURITY_PATH=y"),
        (with_kernel(btf_bytes=None), "no BTF", "CONFIG_DEBUG_INFO_BTF=y"),
        (with_kernel(mounts={**ABLE.kernel.mounts, "bpffs": None}), "no bpffs", "mount -t bpf"),
        (with_security(lsms=("capability", "apparmor")), "bpf is not in lsm=", "boot with lsm=apparmor,bpf"),
    ],
)
def test_bpf_lsm_says_what_is_missing(facts: Facts, what: str, advice: str) -> None:
    answer = verdict(facts, "bpf-lsm")
    assert answer.possible is False
    assert [what in m.what and advice in m.hint for m in answer.missing] == [True]


def test_lsm_list_that_cannot_be_read_is_not_a_no() -> None:
    assert verdict(with_security(lsms=None, lsms_from="", securityfs_mounted=False), "bpf-lsm").possible is None


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (with_security(apparmor=False), "not active"),
        (with_security(apparmor_parser=None), "apparmor_parser is not installed"),
        (with_security(securityfs_mounted=False), "securityfs is not mounted"),
    ],
)
def test_apparmor_says_what_is_missing(facts: Facts, what: str) -> None:
    answer = verdict(facts, "apparmor")
    assert answer.possible is False
    assert what in answer.missing[0].what


def test_running_kubearmor_is_noted_and_its_absence_named() -> None:
    assert verdict(ABLE, "bpf-lsm").notes
    absent = verdict(with_security(kubearmor=()), "kubearmor")
    assert (absent.possible, absent.missing[0].what) == (False, "KubeArmor is not running here")


def test_ten_lines_and_their_states() -> None:
    assert len(lines(ABLE)) == 10
    assert {line.state for line in lines(ABLE)} == {"", "ok"}
    refused = with_program("fexit", Outcome.REFUSED, 1, with_program("fentry", Outcome.REFUSED, 1))
    line = next(line for line in lines(refused) if line.label == "programs")
    assert line.state == "part"
    assert line.text.endswith("; refused: fentry, fexit (EPERM)")


def test_unwatched_class_is_told_with_its_reason() -> None:
    watched = {**WATCHED, "capability": {"state": "unwatched", "note": "no tracepoint"}}
    facts = replace(ABLE, choice=replace(ABLE.choice, watched=watched))
    line = next(line for line in lines(facts) if line.label == "classes")
    assert (line.state, line.text) == ("part", "watched: exec, file, socket; not: capability (no tracepoint)")


def test_long_form_has_every_trial_and_setting() -> None:
    sections = {title.split(" (")[0]: dict(rows) for title, rows in more(ABLE)}
    assert set(sections["program types"]) == set(PROGRAMS)
    assert set(sections["map types"]) == set(MAPS)
    assert set(sections["helpers"]) == {f"bpf_{name}" for name in HELPERS}
    assert sections["kernel configuration"]["CONFIG_SECURITY_PATH"] == "y"
    assert sections["limits"]["locked memory"] == "8192 KiB (at most unlimited)"


def test_json_can_be_written_and_says_both_abilities() -> None:
    told = json.loads(json.dumps(as_json(with_program("lsm", Outcome.REFUSED, 1))))
    assert (told["can_record"], told["can_enforce"]) == (True, True)
    assert told["enforcement"]["bpf-lsm"]["possible"] is False
    assert told["programs"][0]["errno_name"] == "EPERM"
    assert told["backend"] == {"chosen": "lsm", "object": "observer.lsm", "refusals": []}


def run(monkeypatch: pytest.MonkeyPatch, facts: Facts, *options: str) -> tuple[int, str, str]:
    monkeypatch.setattr(gathering, "gather", lambda *, full: facts)
    result = CliRunner().invoke(doctor.command, list(options))
    return result.exit_code, result.stdout, result.stderr


def test_host_that_cannot_record_exits_3_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Choice(None, None, WATCHED, [Refusal("lsm", "refused", "boot otherwise")], "v2", "unified")
    code, out, err = run(monkeypatch, replace(ABLE, choice=choice))
    assert code == 3
    assert len(out.splitlines()) == 10
    assert "none works: not lsm: refused" in out
    assert err == "error: this host cannot record\nhint: boot otherwise\n"


def test_host_that_can_exits_0_and_json_is_alone_on_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run(monkeypatch, ABLE, "--json")
    assert (code, err, json.loads(out)["schema_version"]) == (0, "", 1)


def test_what_a_runtime_says_cannot_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(ABLE, runtimes=[Runtime("docker", True, 0, "bad \x1b[2J answer\nok  fake")])
    _, out, _ = run(monkeypatch, facts, "--full")
    assert "\x1b" not in out
    assert "\\x1b[2J" in out
    assert not any(line.startswith("ok  fake") for line in out.splitlines())


def test_hint_without_root_is_to_get_it() -> None:
    assert hint(replace(ABLE, root=False)) == "sudo discover doctor"


def test_without_libbpf_every_trial_is_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise LibbpfMissing("no libbpf", "apt-get install libbpf1")

    monkeypatch.setattr(gathering, "try_all", missing)
    programs, helpers, maps = gathering._trials(True, True)
    assert [len(x) for x in (programs, helpers, maps)] == [len(PROGRAMS), len(HELPERS), len(MAPS)]
    assert {a.outcome for a in (*programs, *helpers, *maps)} == {Outcome.UNTRIED}


def test_back_end_is_passed_over_only_when_its_kind_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Loaded:
        refusals: list[Refusal] = []  # noqa: RUF012

    def load(name: str, _settings: object) -> Loaded:
        asked.append(name)
        return Loaded()

    monkeypatch.setattr(choosing, "load", load)
    attempts = {a.name: a for a in with_program("lsm", Outcome.REFUSED, 1).programs}
    _, refusals = choosing._load(choosing.Settings(), attempts)
    assert asked == ["fentry"]
    assert [r.backend for r in refusals] == ["lsm"]


def test_last_words_are_the_verifiers() -> None:
    log = """libbpf: prog 'x': BPF program load failed: Invalid argument
libbpf: prog 'x': -- BEGIN PROG LOAD LOG --
0: (85) call bpf_find_vma#180
unknown func bpf_find_vma#180
processed 1 insns (limit 1000000) max_states_per_insn 0
-- END PROG LOAD LOG --
libbpf: prog 'x': failed to load: -22
libbpf: failed to load object 'y'"""
    assert last_words(log) == "unknown func bpf_find_vma#180"


def test_last_words_without_a_verifier_leave_out_the_guess_at_ulimit() -> None:
    log = "libbpf: permission error while running as root; try raising\nlibbpf: prog 'x': BPF program load failed: no"
    assert last_words(log) == "BPF program load failed: no"
    assert last_words("") == ""


def test_names_of_errnos() -> None:
    assert [errno_name(n) for n in (0, 1, 524, 9999)] == ["", "EPERM", "ENOTSUPP", "9999"]


def test_kernel_configuration_is_read_by_whole_names() -> None:
    config = read_config('CONFIG_SECURITY=y\n# CONFIG_BPF_LSM is not set\nCONFIG_LSM="a,b"\nSECURITY_PATH=y\n')
    assert (config["SECURITY"], config["BPF_LSM"], config["LSM"], config["SECURITY_PATH"]) == ("y", "n", "a,b", "n")


def test_mounts_are_told_by_their_kind() -> None:
    text = "bpf /elsewhere tmpfs rw 0 0\nnone /run/bpf bpf rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n"
    assert mount_points(text) == {"bpffs": "/run/bpf", "securityfs": None, "tracefs": None, "cgroup2": None}


def test_lockdown_and_lsm_numbers() -> None:
    assert [lockdown_mode(t) for t in ("none [integrity] confidentiality\n", "", None)] == ["integrity", None, None]
    assert lsm_names([100, 109, 999]) == ("capability", "bpf", "lsm-999")


def test_bcc_is_the_compiler_collection_only_with_its_library(tmp_path: Path) -> None:
    place = tmp_path / "bcc"
    place.mkdir()
    (place / "version.py").write_text('__version__ = "0.26.0"\n')
    assert bcc_version(place) is None
    (place / "libbcc.py").write_text("")
    assert bcc_version(place) == "0.26.0"
