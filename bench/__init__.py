"""Side-by-side measurements against buildctl, buildx and Go: ratios of one run, never times as tests."""
