//! Ports: what the engine needs of the outside, as small traits in plain types.

mod clock;
mod executor;
mod fleet_repo;
mod room;
mod store;
mod target;
mod version_source;

pub use clock::{Clock, Instant};
pub use executor::{Command, Executor, ExecutorError, Executors, Lines, Output, PlaceLock, SentFile, Stream};
pub use fleet_repo::{
    BranchName, CommitDraft, CommitId, CommitInfo, FileChange, FleetRepo, FleetRepoError, Head,
    InvalidCommitId, PushOutcome, Relation,
};
pub use room::{
    ContainerName, Heard, Hearing, Inside, InvalidContainerName, LogLine, LogLines, Process, Tail,
};
pub use store::{
    Batch, Committed, EventQuery, Expect, Lease, NewEvent, Put, Record, Row, Scan, Store, StoreError,
    StoreExt, StoredEvent, Table,
};
pub use target::{
    Bundles, CheckAddress, Context, Front, Observed, Phase, Place, ReleaseOnPlace, RenderInput, Rendered,
    Settled, Step, Target, TargetError,
};
pub use version_source::{ByteStream, SourceError, VersionSource};
