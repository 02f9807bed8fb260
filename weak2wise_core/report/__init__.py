"""The report of a dataset: one self-contained page, made of its tables and its manifest alone.

From the ground up: `tables` (what a report reads), `numbers` (every figure that it states),
`escapes` (characters that would not be seen), `captions` and `drawing` (the figures, in words and
as SVG), `reasons` (why a trace won), `packing` (texts that fit), `explorer` (every question, in
compressed pieces), `page` (the file).
"""
