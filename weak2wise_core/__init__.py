"""The Weak2Wise method as a small pure library; usable from a notebook, without a task engine."""
