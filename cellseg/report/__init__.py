"""Pictures for people: outlines, dots, scale bar, legend, plots. Floor 3: arrays in, arrays out."""
