"""What tests are built from, here and in connectors of other people."""
