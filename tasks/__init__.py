"""Thin Prefect tasks, one for each stage of the method: they open, call, and save."""
