"""`python -m illegalmining`: the command line."""

from illegalmining.cli import main

main()
