//! Reading references to secrets. What is no reference is taken for a secret and never shown.

use super::model::SecretReference;
use crate::yaml::{Node, Reader};

/// `env:NAME`, `file:PATH` or `command:NAME`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<SecretReference> {
    let text = node.as_str().unwrap_or("");
    let reference = match text.split_once(':') {
        Some(("env", name)) if is_name(name) => Some(SecretReference::Env(name.into())),
        Some(("command", name)) if is_name(name) => Some(SecretReference::Command(name.into())),
        Some(("file", path)) if !path.is_empty() && !path.chars().any(char::is_control) => {
            Some(SecretReference::File(path.into()))
        }
        _ => None,
    };
    if reference.is_none() {
        let message = format!("{what} is no reference to a secret; a literal secret is refused");
        let help =
            "write env:NAME, file:PATH or command:NAME; if a secret stood here, replace it: it is in Git";
        reader.error_unseen(node.at, message, help);
    }
    reference
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
