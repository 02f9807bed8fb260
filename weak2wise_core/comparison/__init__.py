"""Selectors beside each other on one scored pool: what they choose, and what that teaches."""
