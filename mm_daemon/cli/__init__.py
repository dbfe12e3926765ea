"""The command line: verbs, exit codes, and nothing that decides."""
