//! Buffers that are used again: clearing or allocating one for each read costs as much as the read.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one read. It still lies in the processor's cache when it is sent.
pub(crate) const CHUNK: usize = 128 << 10;
/// Buffers of one stream that are kept: one is sent while the next one is read.
const KEPT: usize = 2;

/// A buffer of [`CHUNK`] bytes, or less where the whole stream is shorter.
pub(crate) type Buffer = Vec<u8>;

/// The buffers of one stream that are free.
#[derive(Debug, Clone, Default)]
pub(crate) struct Home(Arc<Mutex<Vec<Buffer>>>);

impl Home {
    /// A buffer with at least this size; its content is anything.
    pub fn take(&self, size: usize) -> Buffer {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.filter(|buffer| buffer.len() >= size).unwrap_or_else(|| vec![0; size])
    }

    /// The first bytes of a buffer, which comes back here when nobody needs them any more.
    pub fn lend(&self, buffer: Buffer, length: usize) -> Bytes {
        Bytes::from_owner(Chunk { buffer, length, home: self.clone() })
    }

    fn give_back(&self, buffer: Buffer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

struct Chunk {
    buffer: Buffer,
    length: usize,
    home: Home,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_bytes_are_dropped() {
        let home = Home::default();
        let mut buffer = home.take(8);
        buffer[..3].copy_from_slice(b"abc");
        let at = buffer.as_ptr();
        let bytes = home.lend(buffer, 3);
        let other = home.take(8);
        assert_ne!(other.as_ptr(), at, "it was given away while it was read");
        assert_eq!(bytes, "abc");
        drop(bytes);
        let again = home.take(8);
        assert_eq!(again.as_ptr(), at);
    }
}
