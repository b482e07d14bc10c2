"""What brings events in: live eBPF back ends, workload identity, importers and the dataset writer."""
