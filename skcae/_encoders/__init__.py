"""What any fitted encoder looks like from outside: its layers, its tangents."""
