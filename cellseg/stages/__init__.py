"""The stages of the chain: paths and settings in, files out. Floor 6: no printing, no argv."""
