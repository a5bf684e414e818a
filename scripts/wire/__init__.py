"""From a daemon's gRPC reflection to ``protos/`` and ``pybuildkit/_pb/``."""
