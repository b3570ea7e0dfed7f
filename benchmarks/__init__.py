"""Speed, as answers to questions. `python -m benchmarks` (or `nox -s bench`) asks all of them."""
