"""How well policies are learned, against five cheaper methods: ``python -m benchmarks.quality``; docs/quality.md."""
