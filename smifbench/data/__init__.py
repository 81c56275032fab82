"""From a data set's files to prepared scenes."""
