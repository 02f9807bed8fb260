"""Fine-tuning: from the training rows of a dataset to a model folder (section 3.6, appendix B).

- `jobs` says what is trained; `running.train` does it, in processes of its own.
- `program` is that process: it reads `examples`, refuses what would be trained on wrongly, trains
  (`trainer`, `checkpoints`) and writes the model folder (`saving`, `card`).
- `memory` says beforehand what fits on which GPUs.
"""
