//! Reads a tar.gz. Extended headers are read here and not by the tar crate, because it would take one of any
//! size into memory.

use std::cell::RefCell;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::content::{SourceEnd, StreamReader};
use super::writer::Writer;
use super::{Limits, Refusal, UnpackError, path};

/// Below this size the ratio is not measured.
const RATIO_FROM: u64 = 16 << 20;
/// What one extended header (a long name) may hold.
const MAX_EXTENSION: u64 = 64 << 10;
/// Zeros that may follow the archive's end; tar pads to records of 10 KiB.
const MAX_PADDING: u64 = 1 << 20;

/// Bytes in and out, and why reading was stopped where it was not the archive's own fault.
#[derive(Default)]
struct Account {
    packed: u64,
    unpacked: u64,
    stopped: Option<UnpackError>,
}

/// Counts what comes in.
struct Packed<'a> {
    source: &'a mut StreamReader,
    account: &'a RefCell<Account>,
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.source.read(buffer);
        let mut account = self.account.borrow_mut();
        match &result {
            Ok(read) => account.packed += *read as u64,
            Err(_) => {
                account.stopped = match self.source.end.take() {
                    Some(SourceEnd::Failed(error)) => Some(UnpackError::Source(error)),
                    _ => Some(UnpackError::Cancelled),
                };
            }
        }
        result
    }
}

/// Counts what comes out, and stops a bomb.
struct Guarded<'a, R> {
    inner: R,
    account: &'a RefCell<Account>,
    limits: &'a Limits,
}

impl<R: Read> Read for Guarded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut account = self.account.borrow_mut();
        account.unpacked += read as u64;
        let allowed = account.packed.saturating_mul(self.limits.ratio);
        if account.unpacked > RATIO_FROM && account.unpacked > allowed {
            account.stopped = Some(UnpackError::Bomb { limit: self.limits.ratio });
            return Err(io::Error::other("stopped"));
        }
        Ok(read)
    }
}

/// Writes every file of the archive.
pub(super) fn read(
    mut source: StreamReader,
    writer: &mut Writer<'_>,
    limits: &Limits,
) -> Result<(), UnpackError> {
    let account = RefCell::new(Account::default());
    let packed = Packed { source: &mut source, account: &account };
    let guarded = Guarded { inner: MultiGzDecoder::new(packed), account: &account, limits };
    let result = entries(guarded, writer, limits);
    // The decoders only know that a read failed. What made it fail is the answer.
    let result = account.into_inner().stopped.map_or(result, Err);
    match result {
        // Only at its end the source knows whether these are the bytes that were asked for. Where they are not, the
        // archive is not to blame.
        Err(error) if error.blames_content() => Err(source.failure().map_or(error, UnpackError::Source)),
        result => result,
    }
}

fn entries(source: impl Read, writer: &mut Writer<'_>, limits: &Limits) -> Result<(), UnpackError> {
    let mut archive = Archive::new(source);
    let mut announced = Announced::default();
    // Folders make no files, but an archive of nothing but folders must end too.
    let mut headers = 0;
    for entry in archive.entries().map_err(UnpackError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Damaged)?;
        headers += 1;
        if headers > limits.files.saturating_mul(4) {
            return Err(UnpackError::TooManyFiles { limit: limits.files });
        }
        if !extension(&mut entry, &mut announced)? {
            write(&mut entry, std::mem::take(&mut announced), writer, limits)?;
        }
    }
    drain(archive.into_inner())
}

/// Reads to the end of the gzip stream: only there its checksum is compared, and a truncation seen.
fn drain(mut source: impl Read) -> Result<(), UnpackError> {
    let mut rest = (&mut source).take(MAX_PADDING + 1);
    let read = io::copy(&mut rest, &mut io::sink()).map_err(UnpackError::Damaged)?;
    if read > MAX_PADDING {
        return Err(UnpackError::Damaged(io::Error::other("much follows the archive's end")));
    }
    Ok(())
}

/// What extended headers said of the entry that follows them.
#[derive(Default)]
struct Announced {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Reads the entry if it is an extended header; says whether it was one.
fn extension<R: Read>(entry: &mut Entry<'_, R>, announced: &mut Announced) -> Result<bool, UnpackError> {
    let kind = entry.header().entry_type();
    if !(kind.is_gnu_longname() || kind.is_pax_local_extensions()) {
        // Headers for the whole archive say nothing of files; a long link name precedes a link, refused below.
        return Ok(kind.is_pax_global_extensions() || kind.is_gnu_longlink());
    }
    let name = entry.path_bytes().into_owned();
    let refuse = || UnpackError::entry(&name, Refusal::Header);
    if entry.size() > MAX_EXTENSION {
        return Err(refuse());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(UnpackError::Damaged)?;
    if kind.is_gnu_longname() {
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        announced.name = Some(bytes);
        return Ok(true);
    }
    for record in PaxExtensions::new(&bytes) {
        let record = record.map_err(|_| refuse())?;
        match record.key_bytes() {
            b"path" => announced.name = Some(record.value_bytes().to_vec()),
            b"size" => {
                let size = record.value().ok().and_then(|size| size.parse().ok());
                announced.size = Some(size.ok_or_else(refuse)?);
            }
            // Sparse files are no files to serve.
            key if key.starts_with(b"GNU.sparse") => return Err(refuse()),
            _ => {}
        }
    }
    Ok(true)
}

fn write<R: Read>(
    entry: &mut Entry<'_, R>,
    announced: Announced,
    writer: &mut Writer<'_>,
    limits: &Limits,
) -> Result<(), UnpackError> {
    let name = announced.name.unwrap_or_else(|| entry.path_bytes().into_owned());
    let refuse = |refusal| UnpackError::entry(&name, refusal);
    let text = std::str::from_utf8(&name).map_err(|_| refuse(Refusal::NotUtf8))?;
    match entry.header().entry_type() {
        EntryType::Directory => {
            path::clean_folder(text, limits.path_bytes).map_err(refuse)?;
            return Ok(());
        }
        EntryType::Regular | EntryType::Continuous => {}
        EntryType::Symlink => return Err(refuse(Refusal::Symlink)),
        EntryType::Link => return Err(refuse(Refusal::HardLink)),
        EntryType::Block | EntryType::Char | EntryType::Fifo => return Err(refuse(Refusal::Device)),
        other => return Err(refuse(Refusal::Kind(char::from(other.as_byte())))),
    }
    // The oldest tar writes folders as files whose name ends in a slash.
    if text.ends_with('/') && entry.size() == 0 {
        path::clean_folder(text, limits.path_bytes).map_err(refuse)?;
        return Ok(());
    }
    if entry.size() > limits.total_bytes {
        return Err(UnpackError::TooBig { limit: limits.total_bytes, name: text.to_owned() });
    }
    let path = path::clean(text, limits.path_bytes).map_err(refuse)?;
    let size = entry.size();
    // A second size would let two readers see two archives. It is needed above 8 GiB only.
    if announced.size.is_some_and(|announced| announced != size) {
        return Err(refuse(Refusal::Header));
    }
    let before = writer.written();
    writer.file(&path, entry)?;
    if writer.written() - before != size {
        return Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}
