"""The two related methods, on plain values: weak-to-strong reasoning and W2SR.

Weak-to-strong reasoning (Yang et al., arXiv 2407.13647) trains a strong model on questions for
which it agrees with a weak one: `final_answers`, `gair` (what an answer is, and when two are the
same), `demonstrations` (what the strong model is shown), `agreement` (stage I), `contrast` (stage
II). W2SR (Yuan et al., arXiv 2505.20072) trains a strong student on the traces of a weaker
reasoner: `loops`, `selecting`. `reading` reads files of existing outputs, `shapes` is what trainers
read.
"""
