//! What a jail's keys say about its log files.

use std::ops::Range;
use std::time::Duration;

use super::choices::LogFormat;
use super::file::{Defaults, Jail};
use super::report::Problem;
use super::value::LogPath;
use crate::source::Input;

/// A log file, or a pattern that means several, in its format.
pub(super) fn input(path: &LogPath, format: Option<LogFormat>) -> Input {
    match format {
        Some(LogFormat::Container(runtime)) => Input::Container(runtime, path.0.clone()),
        Some(LogFormat::Plain) | None => Input::File(path.0.clone()),
    }
}

/// Whether its logs are those of containers.
pub(super) fn is_wrapped(jail: &Jail) -> bool {
    jail.format.as_ref().is_some_and(|format| matches!(format.value, LogFormat::Container(_)))
}

/// The filter knows where a service logs, and not where the runtime of a container does.
pub(super) fn nameless(jail: &Jail, tell: &mut dyn FnMut(Problem, &Range<usize>)) -> Option<Vec<Input>> {
    let format = jail.format.as_ref()?;
    let problem = Problem::error("a jail that reads containers has to name their logs").help(
        "for Docker logpath = \"/var/lib/docker/containers/*/*-json.log\", for Kubernetes \
         logpath = \"/var/log/containers/NAME-*.log\"",
    );
    tell(problem, &format.span);
    None
}

/// How far back its logs are read after a pause: as is typed; or else as far as failures count.
pub(super) fn catch_up(jail: &Jail, defaults: &Defaults, findtime: Duration) -> Duration {
    let typed = jail.catch_up.as_ref().or(defaults.catch_up.as_ref());
    typed.map_or(findtime, |typed| typed.value.get())
}
