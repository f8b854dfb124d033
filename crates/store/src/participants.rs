//! The table `participants`: PostgreSQL instances.
