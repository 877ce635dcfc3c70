//! Many hosts, one firewall: hosts report whom they ban, the firewall decides, edges follow it, friends' fleets hear of
//! it. Over NATS JetStream.
//!
//! ```text
//! host: Verdict -> tap -> spool -> ban.report.HOST -> firewall: report -> News -> jail `fleet` -> Verdict
//! firewall: Verdict -> tap -> decisions, signed -> ban.decision.PREFIX -> edge: verified -> News -> a ban of jail `fleet`
//! an edge that knows nothing: firewall: everything in force, in signed pages -> ban.edge.NAME -> edge; then the same
//! friend's firewall: the same, of its own jails -> ban.offender.PREFIX -> peers: verified -> News -> a vote
//! ```
//!
//! A tap, on a thread of its own: it can neither delay nor lose a ban. Nothing of it runs without `[fleet]`, and a build
//! without the feature `fleet` has nothing of it. `setup`, `members` and `invitation` are what `banctl fleet` does.

mod api;
pub mod audience;
pub mod ballots;
mod catching_up;
pub mod certificates;
mod counted;
pub mod decision;
mod decisions;
mod disk;
mod edge;
mod edges;
mod firewall;
mod handing;
mod host;
pub mod invitation;
pub mod keys;
mod link;
pub mod members;
mod news;
mod peers;
mod pull;
mod reading;
pub mod report;
mod running;
mod seal;
pub mod setup;
mod snapshot;
pub mod spool;
pub mod tap;
mod trust;

pub use decisions::Page;
pub use news::{Followed, News};
pub use running::{FleetError, Running};
