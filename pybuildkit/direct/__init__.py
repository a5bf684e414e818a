"""Builds without an event loop: one connection to the daemon, all of it moved on by the calling thread.

For programs that do one thing and end, as the command line: an event loop and what belongs to it take longer to import
than a cached build takes. What a build is made of is the same as in ``pybuildkit.build``: its plan, its session's
services, its errors. The session rides on the connection of its solve, so this is good for every address that a socket can
be connected to without TLS.
"""
