//! The table `observations`: what was seen of databases.
