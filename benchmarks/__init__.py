"""Measurements that stand behind every claim about speed: `python -m benchmarks.NAME`."""
