"""Named settings, trained one after another, in one table."""
