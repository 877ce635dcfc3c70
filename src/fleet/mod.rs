//! Many hosts, one firewall: hosts report whom they ban, the firewall decides, edges follow it. Over NATS JetStream.
//!
//! ```text
//! host: Verdict -> tap -> spool -> ban.report.HOST -> firewall: report -> News -> jail `fleet` -> Verdict
//! firewall: Verdict -> tap -> decisions, signed -> ban.decision.PREFIX -> edge: verified -> News -> a ban of jail `fleet`
//! ```
//!
//! A tap, on a thread of its own: it can neither delay nor lose a ban. Nothing of it runs without `[fleet]`, and the feature
//! `fleet` leaves it out of a build, but for [`status`]. `setup`, `members` and `invitation` are what `banctl fleet` does.

pub mod status;

#[cfg(feature = "fleet")]
mod api;
#[cfg(feature = "fleet")]
pub mod decision;
#[cfg(feature = "fleet")]
mod decisions;
#[cfg(feature = "fleet")]
mod edge;
#[cfg(feature = "fleet")]
mod edges;
#[cfg(feature = "fleet")]
mod firewall;
#[cfg(feature = "fleet")]
mod host;
#[cfg(feature = "fleet")]
pub mod invitation;
#[cfg(feature = "fleet")]
pub mod keys;
#[cfg(feature = "fleet")]
mod link;
#[cfg(feature = "fleet")]
pub mod members;
#[cfg(feature = "fleet")]
mod pull;
#[cfg(feature = "fleet")]
pub mod report;
#[cfg(feature = "fleet")]
mod running;
#[cfg(feature = "fleet")]
pub mod setup;
#[cfg(feature = "fleet")]
pub mod spool;
#[cfg(feature = "fleet")]
pub mod tap;

#[cfg(feature = "fleet")]
pub use decisions::Page;
#[cfg(feature = "fleet")]
pub use edge::Followed;
#[cfg(feature = "fleet")]
pub use running::{FleetError, News, Running};
