"""The commands, a file a group: they turn arguments into calls of stages and print what people want to see. Floor 7."""
