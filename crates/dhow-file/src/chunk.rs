//! Buffers that are used again: allocating and clearing one for each read costs as much as the read.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one read. It still lies in the processor's cache when it is sent.
pub(crate) const CHUNK: usize = 128 << 10;
/// Buffers that are kept while nobody needs them: 2 MiB.
const KEPT: usize = 16;

/// A buffer of [`CHUNK`] bytes, or a smaller one for what is shorter.
pub(crate) type Buffer = Vec<u8>;

/// Buffers that the streams of a server share; clones are the same. At most 2 MiB of them are kept while nobody needs
/// them.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Buffer>>>);

impl Buffers {
    /// A buffer with this size, at most [`CHUNK`]; its content is anything.
    pub(crate) fn take(&self, size: usize) -> Buffer {
        if size < CHUNK {
            return vec![0; size];
        }
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; CHUNK])
    }

    /// The first bytes of a buffer, which is free again when nobody needs them any more.
    pub(crate) fn lend(&self, buffer: Buffer, length: usize) -> Bytes {
        Bytes::from_owner(Chunk { buffer, length, home: self.clone() })
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
    home: Buffers,
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

    fn free(buffers: &Buffers) -> usize {
        buffers.0.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_is_free_again_once_nobody_needs_its_bytes() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(CHUNK);
        buffer[..3].copy_from_slice(b"abc");
        let bytes = buffers.lend(buffer, 3);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(free(&buffers), 0, "it was given away while its bytes were needed");
        assert_eq!(part, "bc");
        drop(part);
        assert_eq!(free(&buffers), 1);
        buffers.take(CHUNK);
        assert_eq!(free(&buffers), 0, "it is not used again");
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_one_size() {
        let buffers = Buffers::default();
        let lent: Vec<Bytes> = (0..2 * KEPT)
            .map(|_| buffers.lend(vec![0; CHUNK], 1))
            .chain([buffers.lend(vec![0; 8], 1)])
            .collect();
        drop(lent);
        assert_eq!(free(&buffers), KEPT);
        assert!(buffers.0.lock().unwrap().iter().all(|buffer| buffer.len() == CHUNK));
    }
}
