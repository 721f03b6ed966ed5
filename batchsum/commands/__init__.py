"""What each command does with its options, where that is more than a call."""
