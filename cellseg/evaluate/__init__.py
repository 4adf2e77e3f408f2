"""How right labels and verdicts are. Floor 3: arrays in, numbers out."""
