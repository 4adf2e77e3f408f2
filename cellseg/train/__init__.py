"""Training of the networks: images, augmentation and one loop for all of them. Floor 4."""
