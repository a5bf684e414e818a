"""``pybuildkit debug``: what ``buildctl debug`` has, in the same words; one file a command."""
