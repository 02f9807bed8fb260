"""Flows and commands: one file for each result that a user wants."""
