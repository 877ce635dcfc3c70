//! What a jail's keys say about its log files.

use std::time::Duration;

use super::choices::LogFormat;
use super::file::{Defaults, Jail};
use super::merge::Layers;
use super::report::Problem;
use super::value::{At, LogPath};
use crate::source::Input;

/// A log file, or a pattern that means several, in its format.
pub(super) fn input(path: &LogPath, format: Option<LogFormat>) -> Input {
    match format {
        Some(LogFormat::Container(runtime)) => Input::Container(runtime, path.0.clone()),
        Some(LogFormat::Plain) | None => Input::File(path.0.clone()),
    }
}

/// The format of its logs, if they are those of containers.
pub(super) fn wrapped(jail: &Jail) -> Option<&At<LogFormat>> {
    jail.format.as_ref().filter(|format| matches!(format.value, LogFormat::Container(_)))
}

/// The filter knows where a service logs, and not where the runtime of a container does.
pub(super) fn nameless(format: &At<LogFormat>, layers: &Layers) -> Problem {
    let problem = Problem::error("a jail that reads containers has to name their logs").help(
        "for Docker logpath = \"/var/lib/docker/containers/*/*-json.log\", for Kubernetes \
         logpath = \"/var/log/containers/NAME-*.log\"",
    );
    layers.place(problem, &format.span)
}

/// How far back its logs are read after a pause: as is typed; or else as far as failures count.
pub(super) fn catch_up(jail: &Jail, defaults: &Defaults, findtime: Duration) -> Duration {
    let typed = jail.catch_up.as_ref().or(defaults.catch_up.as_ref());
    typed.map_or(findtime, |typed| typed.value.get())
}
