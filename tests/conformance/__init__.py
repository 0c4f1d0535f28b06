"""What every member of a folder of extensions has to keep, checked on all that are found there."""
