"""`discover record`: options, the run itself, its panel and its closing report."""
