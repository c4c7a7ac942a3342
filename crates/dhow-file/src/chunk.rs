//! Buffers that are used again: allocating and clearing one for each read costs as much as the read.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one read. It still lies in the processor's cache when it is sent.
pub(crate) const CHUNK: usize = 128 << 10;
/// Buffers that are kept while nobody needs them: 2 MiB.
const KEPT: usize = 16;

/// A buffer of [`CHUNK`] bytes, or less where the whole stream is shorter.
pub(crate) type Buffer = Vec<u8>;

/// The buffers of the process, shared by all streams.
static FREE: Pool = Pool(Mutex::new(Vec::new()));

/// A buffer with at least this size, at most [`CHUNK`]; its content is anything.
pub(crate) fn take(size: usize) -> Buffer {
    FREE.take(size)
}

/// The first bytes of a buffer, which is free again when nobody needs them any more.
pub(crate) fn lend(buffer: Buffer, length: usize) -> Bytes {
    Bytes::from_owner(Chunk { buffer, length })
}

struct Pool(Mutex<Vec<Buffer>>);

impl Pool {
    fn take(&self, size: usize) -> Buffer {
        if size < CHUNK {
            return vec![0; size];
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; CHUNK])
    }

    fn give_back(&self, buffer: Buffer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() == CHUNK && kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

struct Chunk {
    buffer: Buffer,
    length: usize,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        FREE.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_it_is_given_back() {
        let pool = Pool(Mutex::default());
        let buffer = pool.take(CHUNK);
        let at = buffer.as_ptr();
        let other = pool.take(CHUNK);
        assert_ne!(other.as_ptr(), at, "it was given away while it was used");
        pool.give_back(buffer);
        let again = pool.take(CHUNK);
        assert_eq!(again.as_ptr(), at);
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_one_size() {
        let pool = Pool(Mutex::default());
        for _ in 0..2 * KEPT {
            pool.give_back(vec![0; CHUNK]);
        }
        pool.give_back(vec![0; 8]);
        let kept = pool.0.lock().unwrap();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.iter().all(|buffer| buffer.len() == CHUNK));
    }
}
