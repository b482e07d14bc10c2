"""Names that policies use and the kernel's numbers for them: capabilities, protocols, socket types, system calls.

Capabilities are those of Linux 6.12 (``include/uapi/linux/capability.h``); the CRD's own pattern stops at
``mac_admin`` and leaves out ``syslog`` and everything newer. Protocols and socket types are those that KubeArmor
v1.7.4 puts into its tables (``bpflsm/rulesHandling.go``). System calls are the CRD's enumeration (x86-64).
"""

from __future__ import annotations

__all__ = [
    "CAPABILITIES",
    "CRD_CAPABILITIES",
    "PROTOCOLS",
    "PROTOCOL_WORDS",
    "SOCKET_TYPES",
    "SYSCALLS",
    "capability_name",
    "split_names",
]

_CAPABILITIES = """
chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct
sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap
mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
"""
_SYSCALLS = """
read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise
shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept
sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt
clone fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock
fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink
readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times ptrace getuid
syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups setgroups
setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending
rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs
sysfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler
sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup
modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2
swapon swapoff reboot sethostname setdomainname iopl ioperm create_module init_module delete_module
get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead
setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area io_setup
io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old
epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create
timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy mq_open
mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key keyctl
ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat
fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages utimensat epoll_pwait
signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2
epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init
fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu
process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom
memfd_create kexec_file_load bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq
"""

CAPABILITIES: tuple[str, ...] = tuple(_CAPABILITIES.split())
"""Names by number: ``CAPABILITIES[13] == "net_raw"``."""

CRD_CAPABILITIES: tuple[str, ...] = CAPABILITIES[: CAPABILITIES.index("mac_admin") + 1]
"""The ones the CRD's pattern names, in its order."""

PROTOCOLS: dict[str, int] = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
SOCKET_TYPES: dict[str, int] = {
    "stream": 1,
    "dgram": 2,
    "raw": 3,
    "rdm": 4,
    "seqpacket": 5,
    "dccp": 6,
    "packet": 10,
}
PROTOCOL_WORDS: tuple[str, ...] = (
    *("tcp", "udp", "raw", "icmp", "icmpv6", "sctp"),
    *("stream", "dgram", "rdm", "seqpacket", "dccp", "packet", "all"),
)
"""What ``network.matchProtocols[].protocol`` may say, in the CRD's order; each also in upper case."""

SYSCALLS: tuple[str, ...] = tuple(_SYSCALLS.split())
"""What the CRD lets a system call rule name."""


def split_names(value: str) -> tuple[str, ...]:
    """Split ``"tcp,udp"`` as KubeArmor does before it looks at a protocol, a domain or a capability."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def capability_name(value: str) -> str:
    """Bring ``CAP_NET_RAW``, ``cap_net_raw`` and ``NET_RAW`` to ``net_raw``."""
    return value.lower().removeprefix("cap_")
