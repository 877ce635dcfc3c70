//! fail2ban's configuration files, read.

mod ini;
mod interpolate;
mod jails;
mod merge;
mod options;

pub use jails::{JailConf, Place};
pub(super) use options::{Options, load};
