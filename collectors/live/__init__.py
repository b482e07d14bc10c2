"""Live collection: the eBPF back ends, and the session that drains them into segments."""
