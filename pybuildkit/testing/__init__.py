"""For tests: daemons, registries and base images that need no network.

This package imports nothing by itself: the pytest plugin is loaded in every pytest run of whoever has
pybuildkit installed. Import what you need from its modules.

- ``pybuildkit.testing.pytest_plugin``: the fixtures ``buildkitd``, ``buildkit`` and ``buildkit_client``
- ``pybuildkit.testing.container``: ``BuildkitContainer``, on testcontainers
- ``pybuildkit.testing.registry``: ``Registry``, a registry on loopback
- ``pybuildkit.testing.images``, ``pybuildkit.testing.push``: images made on the spot, and their way into it
"""
