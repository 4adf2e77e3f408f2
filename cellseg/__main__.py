"""`python -m cellseg`. Floor 7: the command line under its module name."""

from cellseg.cli import main

main()
