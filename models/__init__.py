"""The domain: behaviours and their dataset, path patterns, coverage, the learner and the policy model."""
