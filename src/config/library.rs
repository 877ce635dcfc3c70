//! Where a plan's filters come from: the administrator's directories, then the catalogue.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::validate::{FilterProblem, LoadedFilter};
use crate::filter::{Filter, FilterError};

/// Loads what a reference names, as [`super::load`] does.
///
/// # Errors
/// Whatever is wrong with the reference or the filter.
pub fn load(reference: &str, directories: &[PathBuf]) -> Result<LoadedFilter, FilterProblem> {
    match Filter::load(reference, directories) {
        Ok(filter) => {
            let logpath = filter.log_paths().map(Path::to_path_buf).collect();
            Ok(LoadedFilter { filter: Arc::new(filter), logpath })
        }
        Err(error) => Err(problem(&error)),
    }
}

fn problem(error: &FilterError) -> FilterProblem {
    FilterProblem { message: error.to_string(), help: None, location: None }
}
