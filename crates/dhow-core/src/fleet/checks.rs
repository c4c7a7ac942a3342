//! Reading `checks:`.

use std::time::Duration;

use super::check::{CheckSpec, Probe};
use super::{headers, keys};
use crate::yaml::{Node, Reader};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The checks of a list.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<CheckSpec> {
    let mut checks = Vec::new();
    for item in reader.items(node, "checks") {
        checks.extend(read_one(reader, item));
    }
    checks.shrink_to_fit();
    checks
}

fn read_one(reader: &mut Reader<'_>, node: &Node) -> Option<CheckSpec> {
    let fields = reader.fields(node, "a check", keys::CHECK);
    let kinds: Vec<&str> =
        ["http", "tcp", "command"].into_iter().filter(|kind| fields.raw(kind).is_some()).collect();
    let [kind] = kinds[..] else {
        reader.error(node.at, "a check needs exactly one of http, tcp and command");
        return None;
    };
    let asked = fields.raw(kind)?;
    let probe = match kind {
        "http" => http(reader, asked)?,
        "tcp" => {
            let inner = reader.fields(asked, "tcp", keys::TCP);
            let port = inner.get("port").and_then(|n| reader.number(n, "port", 1..=65535));
            Probe::Tcp { port: port.and_then(|p| u16::try_from(p).ok()) }
        }
        _ => {
            let argv: Vec<String> = reader.list(asked, "command");
            if argv.first().is_none_or(String::is_empty) {
                reader.error_help(asked.at, "command has no program", "write [program, argument, ...]");
                return None;
            }
            Probe::Command { argv }
        }
    };
    let mut check = CheckSpec::new(probe);
    if let Some(n) = fields.get("successes").and_then(|n| reader.number(n, "successes", 1..=100)) {
        check.successes = n;
    }
    for (key, limit, place) in [
        ("interval", HOUR, &mut check.interval),
        ("retry", HOUR, &mut check.retry),
        ("timeout", HOUR, &mut check.timeout),
        ("limit", DAY, &mut check.limit),
    ] {
        let Some(node) = fields.get(key) else { continue };
        if let Some(duration) = reader.duration(node, key, limit) {
            if duration.is_zero() && matches!(key, "timeout" | "limit") {
                reader.error(node.at, format!("{key} must be longer than 0"));
            }
            *place = duration;
        }
    }
    Some(check)
}

fn http(reader: &mut Reader<'_>, node: &Node) -> Option<Probe> {
    let fields = reader.fields(node, "http", keys::HTTP);
    let Some(url_node) = fields.get("url") else {
        reader.error_help(node.at, "http has no url", "write url: \"https://{host}/\"");
        return None;
    };
    let url = reader.text(url_node, "url")?.to_owned();
    if let Some(problem) = problem_of_url(&url) {
        // An address may hold a password: the line is not shown.
        reader.error_unseen(url_node.at, problem, "write it like \"https://{host}/health\"");
        return None;
    }
    let status = fields.get("status").and_then(|n| reader.number(n, "status", 100..=599)).unwrap_or(200);
    let contains = fields.get("contains").and_then(|n| reader.text(n, "contains")).map(str::to_owned);
    let headers = fields.get("headers").map(|n| headers::read(reader, n, &[])).unwrap_or_default();
    Some(Probe::Http { url, status: u16::try_from(status).unwrap_or(200), contains, headers })
}

fn problem_of_url(url: &str) -> Option<String> {
    let filled = url.replace("{host}", "host.invalid");
    if filled.contains(['{', '}']) {
        return Some("the url has a placeholder that does not exist; there is {host}".into());
    }
    match url::Url::parse(&filled) {
        Err(error) => Some(format!("the url cannot be read: {error}")),
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
            Some(format!("the url has the scheme {:?}; http and https can be checked", parsed.scheme()))
        }
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            Some("the url holds a user or a password; a fleet holds no secrets".into())
        }
        Ok(_) => None,
    }
}
