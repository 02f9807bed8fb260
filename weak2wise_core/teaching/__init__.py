"""The steps of the related methods between models and trainers: rows, gates, tables."""
