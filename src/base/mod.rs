//! The words that every other module speaks: names, digests, revisions, partition sets, time.
//!
//! Nothing here touches a disk, a clock or the environment; a value is what its caller passed in.

pub mod column;
pub mod digest;
pub mod durability;
pub mod error_text;
#[doc(hidden)]
pub mod fault;
pub mod key;
pub mod record;
pub mod request;
pub mod set;
pub mod similar;
pub mod time;

pub use column::{Column, Mark};
pub use digest::{Digest, DigestBuilder};
pub use durability::{Durability, NetworkDisk};
pub use error_text::error_text;
pub use key::{AssetKey, BackfillId, InvalidName, JobName, PartitionKey, RunId, StepName};
pub use record::{
    AskedRow, AssetRow, CheckFact, Fact, FailureRow, Flags, MatRow, Note, Output, OutputKind, Rev,
    StepId, StepParts, Usage,
};
pub use request::{Instigator, InstigatorKind, RunRequest, SeenRun, TickOutcome, Wanted};
pub use set::{PartitionIdx, PartitionSet, Ranges, ranges};
pub use similar::similar;
pub use time::{Clock, FixedClock, TimeWindow};
