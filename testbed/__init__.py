"""The testbed: a small world in which the whole method runs without a key, a GPU or a network.

Arithmetic word problems (`world`, `language`), program teachers whose habits are known
(`teachers`), and a tiny language model that is weak alone and really reads hints (`models`,
`weak_model/`). A testbed, not a benchmark: its figures say nothing about any other model.
"""
