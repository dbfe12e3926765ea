"""Recording what venues send: segments on the disk, a writer beside the loop, connectors that only listen."""
