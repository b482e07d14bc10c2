"""``discover enforce``: policies on a real workload, watched first, then denied."""
