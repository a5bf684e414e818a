"""Building and marshalling large graphs, beside BuildKit's Go client in the same run: ``python -m bench.llb``."""
