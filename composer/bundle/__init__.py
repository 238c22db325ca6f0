"""What is given to a device: the file format, its checks, and how weights are stored."""
