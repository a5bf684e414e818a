"""The repository's own tools; not shipped."""
