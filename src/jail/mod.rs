//! Counting and judging.
