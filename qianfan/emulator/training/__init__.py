"""Trainings, publications and deployments that are computed, by engines in child processes."""
