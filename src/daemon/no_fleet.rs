//! A build without fleets: nothing of them runs. `config` refuses a `[fleet]` with a role then.

use std::convert::Infallible;
use std::path::Path;

use jiff::Timestamp;

use super::run::Daemon;
use crate::config::plan::FleetPlan;
use crate::control::fleet::FleetStatus;
use crate::jail::Verdict;
use crate::jail::bans::Bans;
use crate::store::Line;

/// No part in any fleet.
#[derive(Default)]
pub(super) struct Part;

/// There is none.
pub(super) enum Outlet {}

impl Part {
    pub(super) fn new(_: &Path) -> Self {
        Self
    }

    /// Nowhere.
    pub(super) fn configure(&mut self, _: Option<&FleetPlan>, _: bool) -> Option<Outlet> {
        None
    }

    /// Nothing.
    pub(super) async fn heard(&mut self) -> Infallible {
        std::future::pending().await
    }

    /// Nothing.
    pub(super) fn status(&self) -> Option<FleetStatus> {
        None
    }

    /// Nothing.
    pub(super) fn warnings(&self, _: Option<&FleetStatus>) -> Vec<String> {
        Vec::new()
    }
}

impl Outlet {
    pub(super) fn tell(&self, _: &Verdict, _: &[Line], _: &Bans, _: Timestamp) {
        match *self {}
    }
}

pub(super) fn take(_: &mut Daemon, news: Infallible, _: Timestamp) {
    match news {}
}
