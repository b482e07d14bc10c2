"""BPF programs in C, and the thin libbpf binding that loads them and reads their rings and maps."""
