"""How learning scales: made-up recordings of many workloads, and what DuckDB needs to group the same rows."""
