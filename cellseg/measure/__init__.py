"""What is measured of each cell, a file a family. Floor 3: arrays in, arrays out."""
