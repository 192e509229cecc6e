"""What is notified of a sweep: the run folder's files, TensorBoard, the terminal, a user's own."""
