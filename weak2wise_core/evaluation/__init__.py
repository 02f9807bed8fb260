"""Evaluation: how many benchmark questions a model answers, and which of two models is better.

- `benchmarks` reads the user's data files; `tasks/` holds one task definition per kind.
- `running.evaluate` lets lm-evaluation-harness (`harness`) put the questions to a model through
  the project's own seam (`bridge`), and `grading` decides what is right.
- `records` are what comes out, `comparing` sets two models side by side (`intervals`), `tables`
  and `publishing` write results.
"""
