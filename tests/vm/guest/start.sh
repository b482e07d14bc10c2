#!/usr/bin/env bash
# start.sh SHARE: the first thing that runs in the guest. Prepares the machine, then the guest's pytest; see ../conftest.py.
# SHARE/environment holds variables, SHARE/arguments pytest's arguments, both NUL-separated.
set -eu
share=$1
project=$PWD

mkdir -p /run/cached /run/share
mount --bind "$share" /run/share

# Real file systems (inodes, hard links, shared mappings) where tests and container runtimes write.
for folder in /tmp /var/tmp /var/lib/containers /var/lib/docker /var/lib/containerd; do
  mkdir -p "$folder"
  mount -t tmpfs -o mode=1777,nr_inodes=0 tmpfs "$folder" # a test makes 100,000 files, for each back end
done

# The same files, but cached (see ../boot.py), where Python and the programs under test live. Not /usr as a whole: the
# guest's kernel modules are in /usr/lib, which is an overlay of virtme-ng's.
mount -t 9p -o ro,version=9p2000.L,trans=virtio,cache=loose,msize=512000 cached /run/cached
for folder in /usr/bin /usr/sbin /usr/include /usr/libexec /usr/share /usr/local /usr/lib/*-linux-gnu /usr/lib/python3* /usr/lib/llvm-* \
  /usr/lib/gcc /usr/lib/postgresql; do
  [ ! -d "/run/cached$folder" ] || mount --bind "/run/cached$folder" "$folder"
done
mkdir -p "$project"
mount --bind "/run/cached$project" "$project"
mkdir -p "$share"
mount --bind /run/share "$share"
cd "$project"

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
for controller in cpu memory pids io; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true; done
ip link set lo up
unset XDG_RUNTIME_DIR # virtme-ng names a folder that is not there, and runc's exec fails

while IFS= read -r -d '' variable; do export "${variable?}"; done <"$share/environment"
mapfile -d '' -t arguments <"$share/arguments"
exec "$project/.venv/bin/python" -m pytest "${arguments[@]}"
