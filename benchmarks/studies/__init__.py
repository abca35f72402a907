"""Ten questions that the papers leave open, each answered by one command."""
