"""Ablations: arms chosen from one scored pool, trained, evaluated and compared (Tables 3 to 6)."""
