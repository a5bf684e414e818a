"""``pybuildkit history``: one file a command."""
