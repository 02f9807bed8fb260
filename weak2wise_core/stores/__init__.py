"""What is kept on the disk: model replies, tables, files that are whole or absent."""
