//! Files as streams of bytes, for the servers that send them.
//!
//! What lies in the system's page cache is read at once, on the thread that sends it; only what must come from the disk
//! is read on a thread that may wait (`preadv2(2)`, `RWF_NOWAIT`). A file that is asked for often so costs no change of
//! threads, and a slow disk holds up nobody else.

mod chunk;
mod stream;

pub use chunk::Buffers;
pub use stream::FileBytes;
