"""Calls to the daemon: one small interface, what carries it, and the mapping of its errors."""
