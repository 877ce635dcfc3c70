//! Where log lines come from. Every source hands over [`Block`]s of whole lines as bytes.

pub mod file;

/// Names one source within a running daemon: an index into its list of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub usize);

/// Whole lines, each ended by `\n`, in the order in which they were written. Bytes as they were read: any encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The source that read it.
    pub source: SourceId,
    /// At most 256 KiB plus one line; a line that was cut or not ended in the file has its `\n` added.
    pub bytes: Vec<u8>,
    /// Where reading goes on once this block has been dealt with.
    pub position: Position,
}

/// A place in a file that survives renames: what is stored to go on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
    /// Bytes from its start.
    pub offset: u64,
}
