"""What the tests of the hard cases share: programs, recordings, expected rows, and the table of differences."""
