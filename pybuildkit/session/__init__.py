"""What the daemon may call back for while it builds: the session, its carriers, and one file a service."""
