"""The configuration file: typed settings, every mistake named at its line, and what the core is built from."""
