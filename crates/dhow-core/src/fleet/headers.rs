//! Reading headers: names that are names, values of one line, and no secrets.

use std::collections::BTreeMap;

use crate::yaml::{Node, Reader};

/// Headers whose value is a secret: a fleet never holds one.
const SECRET: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"];

/// The headers of a mapping. Those named in `also_secret` are refused too.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, also_secret: &[&str]) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (key, value) in reader.entries(node, "headers") {
        let name = key.text.to_ascii_lowercase();
        if SECRET.contains(&name.as_str()) || also_secret.contains(&name.as_str()) {
            let message = format!("the header {:?} would put a secret into the fleet", key.text);
            reader.error_unseen(key.at, message, "leave it out; a fleet holds no secrets");
            continue;
        }
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
        if key.text.is_empty() || !key.text.chars().all(token) {
            reader.error(key.at, format!("{:?} is no name of a header", key.text));
            continue;
        }
        let Some(text) = reader.text(value, "a header") else { continue };
        if text.chars().any(char::is_control) {
            reader.error(value.at, "a header must be one line");
            continue;
        }
        headers.insert(key.text.clone(), text.to_owned());
    }
    headers
}
