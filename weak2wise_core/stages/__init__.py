"""The stages of the method as coroutines over one question; the only modules that await a model.

Each stage gathers replies and hands plain values to the pure modules. A stage returns records or
raises: `ModelError` for a call that gave no usable reply. Who catches it, and turns one bad
question into one rejection, is the task that runs the stage over a shard.
"""
