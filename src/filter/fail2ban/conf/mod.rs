//! fail2ban's configuration files, read.

mod ini;
mod interpolate;
mod merge;
mod options;

pub(super) use options::{Options, load};
