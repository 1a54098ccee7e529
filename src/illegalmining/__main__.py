"""`python -m illegalmining`: the command line."""

from illegalmining.cli import main

if __name__ == "__main__":  # a process started from this one imports the module and runs something else
    main()
