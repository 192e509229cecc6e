"""What is done with a trained policy."""
