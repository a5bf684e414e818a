"""HTTP/2 without I/O, both roles: bytes in, buffers out.

``connection.Connection`` is the engine; ``messages`` and ``metadata`` hold what gRPC adds on top of it. Nothing
here knows of sockets, threads, event loops or the grpc package.
"""
