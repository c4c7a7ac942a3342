//! What others answer: docker, servers, proxies and git. Whatever it is, it is read or refused.

use crate::text;

/// A part names the reader on its first line, else all of them read it.
pub(super) fn body(data: &[u8]) {
    let parts = text::parts(data);
    for part in parts {
        dhow_docker::fuzz::answer(part);
        dhow_git::fuzz::answer(part);
    }
}
