"""What is estimated once for a slide: stains, scaling, tissue, quality. Floor 3: arrays in, arrays out."""
