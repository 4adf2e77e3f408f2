set -eu
# CELLSEG_SOURCE is the folder of the Snakefile; installed editable, so that the environment never holds older code.
pip install -c "$CELLSEG_SOURCE/constraints.txt" -e "$CELLSEG_SOURCE"
