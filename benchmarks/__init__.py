"""What recording costs, measured side by side with peers; ``python -m benchmarks.run``."""
