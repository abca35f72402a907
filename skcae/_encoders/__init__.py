"""What any fitted encoder looks like from outside, and what its rows may come in."""
