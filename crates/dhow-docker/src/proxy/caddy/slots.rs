//! Addresses in files. Caddy fills in `{file.PATH}` at each request: where a file is replaced, the next request goes
//! elsewhere, and nothing is reloaded.
//!
//! A route has a fixed number of files, a few more than upstreams, and each holds one address. With one upstream all hold
//! the same. An empty one leads nowhere: the visitor gets the maintenance page.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dhow_core::port::{Command, Executor};
use futures::future::{try_join, try_join_all};
use serde_json::Value;

use super::document;
use crate::proxy::error::ProxyError;
use crate::proxy::site::Upstream;

/// Fewest files of a route: old beside new for two replicas.
const FEWEST: usize = 4;

/// The files of a route that has `former` of them now. Their number grows and never shrinks: each change is a reload.
pub(super) fn paths(folder: &str, name: &str, former: usize, upstreams: &[Upstream]) -> Vec<String> {
    let needed = upstreams.len().next_power_of_two().max(FEWEST).max(former);
    (0..needed).map(|n| format!("{folder}/{name}~{n}")).collect()
}

/// The files that a route names; none: its addresses are in itself.
pub(super) fn of(route: &Value) -> Vec<String> {
    let path = |dial: &str| dial.strip_prefix("{file.")?.strip_suffix('}').map(str::to_owned);
    document::dials(route).into_iter().filter_map(path).collect()
}

/// Which upstream each of the files holds: turn by turn, by weight, each at least once.
pub(super) fn spread(upstreams: &[Upstream], files: usize) -> Vec<Option<SocketAddr>> {
    let total: i64 = upstreams.iter().map(|upstream| i64::from(upstream.weight)).sum();
    let mut credit = vec![0_i64; upstreams.len()];
    let mut turns: Vec<usize> = Vec::new();
    for turn in 0..files {
        for (credit, upstream) in credit.iter_mut().zip(upstreams) {
            *credit += i64::from(upstream.weight);
        }
        let unseen: Vec<usize> = (0..upstreams.len()).filter(|n| !turns.contains(n)).collect();
        let pressed = unseen.len() >= files - turn;
        let able = (0..upstreams.len()).filter(|n| !pressed || unseen.contains(n));
        let Some(next) = able.max_by_key(|n| (credit.get(*n).copied(), std::cmp::Reverse(*n))) else { break };
        if let Some(credit) = credit.get_mut(next) {
            *credit -= total;
        }
        turns.push(next);
    }
    let address = |n: usize| turns.get(n).and_then(|turn| upstreams.get(*turn)).map(|up| up.address);
    (0..files).map(address).collect()
}

/// All that the files hold, in one line.
pub(super) fn line(held: Vec<Option<SocketAddr>>) -> String {
    let text = |address: Option<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    held.into_iter().map(text).collect::<Vec<String>>().join(",")
}

/// The upstreams of what the files hold.
pub(super) fn upstreams(held: &[Option<SocketAddr>]) -> Vec<Upstream> {
    let mut counts: BTreeMap<SocketAddr, u16> = BTreeMap::new();
    for address in held.iter().flatten() {
        *counts.entry(*address).or_default() += 1;
    }
    let least = counts.values().min().copied().unwrap_or(1);
    let equal = counts.values().all(|count| count.abs_diff(least) <= 1);
    let weight = |count: u16| if equal { 1 } else { count };
    counts.into_iter().map(|(address, count)| Upstream { address, weight: weight(count) }).collect()
}

/// What the files hold; a file that is not there, or that holds no address, leads nowhere.
pub(super) async fn read(
    executor: &dyn Executor,
    paths: &[String],
) -> Result<Vec<Option<SocketAddr>>, ProxyError> {
    let texts = try_join_all(paths.iter().map(|path| executor.read(path))).await?;
    let address = |text: Option<Vec<u8>>| String::from_utf8(text?).ok()?.trim().parse().ok();
    Ok(texts.into_iter().map(address).collect())
}

/// Makes the files hold these upstreams, and says whether one was changed. Those that are new come before those that go
/// are gone: at no moment is no file right.
pub(super) async fn write(
    executor: &dyn Executor,
    folder: &str,
    paths: &[String],
    upstreams: &[Upstream],
) -> Result<bool, ProxyError> {
    let (present, held) =
        try_join(async { Ok::<_, ProxyError>(executor.list(folder).await?) }, read(executor, paths)).await?;
    let there = |path: &String| present.iter().any(|name| path.rsplit('/').next() == Some(name));
    let wanted = spread(upstreams, paths.len());
    let differs = |((path, held), wanted): &((&String, &Option<SocketAddr>), &Option<SocketAddr>)| {
        held != wanted || !there(path)
    };
    let changes: Vec<(&String, Option<SocketAddr>)> = paths
        .iter()
        .zip(&held)
        .zip(&wanted)
        .filter(differs)
        .map(|((path, _), wanted)| (path, *wanted))
        .collect();
    if present.is_empty() && !changes.is_empty() {
        let made = executor.run(&Command::new(["mkdir", "-p", folder]), &()).await?;
        if !made.ok() {
            let reason: String = String::from_utf8_lossy(&made.stderr).trim().chars().take(300).collect();
            let message = format!("the folder {folder} for the proxy cannot be made: {reason}");
            return Err(ProxyError::Unable(message));
        }
    }
    let writes = changes.iter().map(|(path, address)| async move {
        let text = address.map(|address| address.to_string()).unwrap_or_default();
        executor.write(path, text.as_bytes(), 0o644).await
    });
    try_join_all(writes).await?;
    Ok(!changes.is_empty())
}

/// Removes the files of a route.
pub(super) async fn remove(executor: &dyn Executor, folder: &str, name: &str) -> Result<(), ProxyError> {
    let ours = |file: &String| {
        let number = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('~'));
        number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
    };
    for file in executor.list(folder).await?.into_iter().filter(ours) {
        executor.remove(&format!("{folder}/{file}")).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(last: u8, weight: u16) -> Upstream {
        Upstream { address: ([10, 0, 0, last], 80).into(), weight }
    }

    fn turns(upstreams: &[Upstream], files: usize) -> Vec<u8> {
        let last = |address: Option<SocketAddr>| match address {
            Some(SocketAddr::V4(address)) => address.ip().octets()[3],
            _ => 0,
        };
        spread(upstreams, files).into_iter().map(last).collect()
    }

    #[test]
    fn files_are_spread_by_weight_and_leave_nobody_out() {
        assert_eq!(turns(&[up(1, 1)], 4), [1, 1, 1, 1]);
        assert_eq!(turns(&[up(1, 1), up(2, 1)], 4), [1, 2, 1, 2]);
        assert_eq!(turns(&[up(1, 3), up(2, 1)], 4), [1, 1, 2, 1]);
        assert_eq!(turns(&[up(1, 100), up(2, 1)], 4), [1, 1, 1, 2]);
        assert_eq!(turns(&[], 4), [0, 0, 0, 0]);
    }

    #[test]
    fn equals_are_read_back_as_equals() {
        for count in 1..=9_u8 {
            let upstreams: Vec<Upstream> = (1..=count).map(|n| up(n, 1)).collect();
            let files = paths("/x", "a", 0, &upstreams).len();
            assert_eq!(super::upstreams(&spread(&upstreams, files)), upstreams, "{count} in {files}");
        }
    }
}
