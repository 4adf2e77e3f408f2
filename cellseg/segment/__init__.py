"""Finding cells in the pixels of a tile, and which pieces are one cell. Floor 3: arrays in, arrays out."""
