"""The product of a build: a versioned folder with its tables, manifest and card."""
