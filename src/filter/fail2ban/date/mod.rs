//! Dates in log lines: found, cut out, read.

mod defaults;
mod detector;
mod fields;
mod minute;
mod moment;
mod template;
mod zones;

pub(super) use detector::{Detector, Formats};
pub(super) use minute::Minute;
