"""Reading and writing files: slides, label images, tables, sheets. Floor 2."""
