"""Training of the networks: images, augmentation and one loop for all of them. Floors 4 and 5."""
