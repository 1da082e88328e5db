"""The sides of scripts/bench_watch, each a process of its own."""
