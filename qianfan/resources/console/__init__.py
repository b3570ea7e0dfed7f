"""The console: everything that is managed rather than asked."""
