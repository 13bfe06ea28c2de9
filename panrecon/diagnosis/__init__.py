"""What is wrong with a posed RGB-D scan, found before anything long is made of it."""
