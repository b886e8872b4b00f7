"""From points to training targets and from network outputs back to points: encode and decode in one class."""
