//! Log files: tailing, rotation, positions.
