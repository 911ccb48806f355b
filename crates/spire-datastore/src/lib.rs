//! One concrete SQL store for SQLite, PostgreSQL and MySQL on SPIRE's own schema.
