"""Content stores on this machine: local caches and OCI layouts, on disk as containerd keeps them."""
