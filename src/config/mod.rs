//! Configuration: what the administrator typed, and the validated plan the daemon runs.

pub mod duration;
pub mod plan;
