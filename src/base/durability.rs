//! How much of what was recorded must survive a power cut.

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
