"""Files of data sets are downloaded, read and written as prepared scenes."""
