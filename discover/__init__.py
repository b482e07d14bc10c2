"""Discover what a workload does, and the smallest KubeArmor policy that will not break it."""
