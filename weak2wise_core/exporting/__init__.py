"""A published dataset for other programs: files for trainers, a folder or repository for a hub."""
