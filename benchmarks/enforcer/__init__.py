"""What a decision of the enforcer costs, and its policies: ``python -m benchmarks.enforcer``."""
