"""Trees of files: walking, matching, sending and receiving them, as fsutil does in Go.

Nothing here knows of gRPC or HTTP/2: the machines take and give the messages' bytes.
"""
