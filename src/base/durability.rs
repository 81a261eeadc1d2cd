//! What is asked of the disk: how much survives a power cut, and whether it may be another machine's.

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Blobs are synced before the rows that name them; the database may lose its last commits.
    Batch,
    /// As `Batch`, and every commit is synced.
    Safe,
    /// Nothing is synced; after a power cut blobs are hashed again.
    Fast,
}

/// What to do about a store on a network file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkDisk {
    Refuse,
    /// The user says that only one machine writes there.
    Allow,
}
