"""What an author may write under `plugins: - sentifyd:`."""
