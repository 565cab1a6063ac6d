"""What differs between runs, and whether by more than noise."""
