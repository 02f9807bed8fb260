"""The commands of `weak2wise`, one module for each group; see `flows.cli`."""
