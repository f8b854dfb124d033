//! The table `timelines`: histories of WAL.
