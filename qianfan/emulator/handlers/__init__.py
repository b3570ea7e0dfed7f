"""What the emulated platform does for each call, one module per area."""
