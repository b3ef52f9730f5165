"""Speed against the peers: ``python -m benchmarks [NAME ...]`` from the project's folder. See `_harness.py`."""
