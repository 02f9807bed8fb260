"""Other selectors on the same scored pool: formulas, what a model must read for them, choices."""
