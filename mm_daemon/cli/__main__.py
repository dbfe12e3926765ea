"""`python -m mm_daemon.cli VERB`: the console script by another name, for processes that we start ourselves."""

from mm_daemon.cli.main import main

main()
