"""The report of a dataset: one self-contained page, made of its tables and its manifest alone.

From the ground up: `tables` (what a report reads), `numbers` (every figure that it states),
`drawing` (the figures as SVG), `escapes` (characters that would not be seen), `reasons` (why a
trace won), `explorer` (every question, in compressed pieces), `page` (the file).
"""
