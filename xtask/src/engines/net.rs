//! The networks of test hosts: a namespace each, and a pair of interfaces to the machine.
//!
//! A slot `k` has the addresses `10.213.(16k..16k+15).0/24` between machine and hosts (.1 and .2), and
//! `10.212.16k.0/20` for containers. Nothing leads out of them: the machine forwards nothing.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::fence;
use crate::process;

const SLOTS: u8 = 16;

/// Where `ip` keeps the names of network namespaces.
const NETNS: &str = "/run/netns";

/// Hosts of one slot; the last number is the bridge's.
const HOSTS: u8 = 15;

/// One host's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// The namespace's name.
    pub netns: String,
    /// Our end of the pair: taking it down cuts the host off.
    pub link: String,
    /// The machine as the host sees it.
    pub gateway: Ipv4Addr,
    /// The host as the machine sees it.
    pub address: Ipv4Addr,
}

impl Net {
    /// The network of the host with this number, 0 to 14.
    pub fn new(slot: u8, host: u8, name: &str) -> Self {
        let third = slot * 16 + host.min(HOSTS - 1);
        let at = |last| Ipv4Addr::new(10, 213, third, last);
        Self {
            netns: format!("{}{name}", netns(slot)),
            link: format!("{}{name}", link(slot)),
            gateway: at(1),
            address: at(2),
        }
    }

    /// Makes the namespace and the pair, and takes them up. Leftovers of the same names are removed before.
    pub fn make(&self) -> anyhow::Result<()> {
        let Self { netns, link, gateway, address } = self;
        delete_link(link)?;
        delete_netns(netns)?;
        ip(&["netns", "add", netns])?;
        ip(&["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", netns])?;
        ip(&["address", "add", &format!("{gateway}/24"), "dev", link])?;
        ip(&["link", "set", link, "up"])?;
        ip(&["-netns", netns, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-netns", netns, "link", "set", "lo", "up"])?;
        ip(&["-netns", netns, "link", "set", "eth0", "up"])?;
        let [a, b, third, _] = gateway.octets();
        let first = Ipv4Addr::new(a, b, third - third % 16, 1);
        match first == *gateway {
            true => Ok(()),
            // One address of the machine that every host reaches: where a registry for all of them listens.
            false => {
                ip(&["-netns", netns, "route", "add", &format!("{first}/32"), "via", &gateway.to_string()])
            }
        }
    }
}

/// The bridge that the engine on the machine's own network uses in place of `docker0`.
pub fn bridge(slot: u8) -> String {
    format!("{}br", link(slot))
}

/// Makes that bridge. A leftover is removed before.
pub fn make_bridge(slot: u8) -> anyhow::Result<()> {
    let bridge = bridge(slot);
    delete_link(&bridge)?;
    ip(&["link", "add", &bridge, "type", "bridge"])?;
    ip(&["address", "add", &format!("{}/24", nobody(slot)), "dev", &bridge])?;
    ip(&["link", "set", &bridge, "up"])
}

/// Where containers of that engine ask for names that it does not know: nobody answers there, so that they hear at once
/// that there is none.
pub fn nobody(slot: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 212, slot * 16, 1)
}

/// Where the slot's engines take the networks of their containers from.
pub fn pool(slot: u8) -> String {
    format!("10.212.{}.0/20", slot * 16)
}

/// A slot that nobody on this machine uses.
pub fn free_slot() -> anyhow::Result<u8> {
    let links = links()?;
    let namespaces = namespaces()?;
    let is_free = |slot: &u8| {
        let by_link = links.iter().any(|found| is_of(found, *slot));
        !by_link && !namespaces.iter().any(|name| name.starts_with(&netns(*slot)))
    };
    (0..SLOTS).find(is_free).context("16 state folders of engines are up: take one down")
}

/// Removes what the slot still has on the machine: interfaces, networks of containers, namespaces.
pub fn remove_all(slot: u8) -> anyhow::Result<()> {
    fence::remove(slot)?;
    for link in links()?.iter().filter(|link| is_of(link, slot)) {
        delete_link(&link.name)?;
    }
    for name in namespaces()?.iter().filter(|name| name.starts_with(&netns(slot))) {
        delete_netns(name)?;
    }
    Ok(())
}

/// Removes an interface. One that is not there is fine.
pub fn delete_link(name: &str) -> anyhow::Result<()> {
    let there = || links().map(|links| links.iter().any(|link| link.name == name));
    if there()? {
        let deleted = ip(&["link", "delete", name]);
        // The kernel may take it away with its other end at the same time.
        if deleted.is_err() && there()? {
            return deleted;
        }
    }
    Ok(())
}

/// Removes a namespace. One that is not there is fine.
pub fn delete_netns(name: &str) -> anyhow::Result<()> {
    if namespaces()?.iter().any(|found| found == name) { ip(&["netns", "delete", name]) } else { Ok(()) }
}

/// Whether the folder of namespaces is mounted upon itself, as `ip netns add` does at its first use.
pub fn is_netns_mounted() -> anyhow::Result<bool> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    Ok(mounts.lines().any(|line| line.split_whitespace().nth(1) == Some(NETNS)))
}

/// Takes that back, unless somebody has a namespace there.
pub fn unmount_netns() -> anyhow::Result<()> {
    if namespaces()?.is_empty() && is_netns_mounted()? {
        process::run(Command::new("busybox").args(["umount", NETNS]))?;
        fs::remove_dir(NETNS).with_context(|| format!("cannot remove {NETNS}"))?;
    }
    Ok(())
}

fn netns(slot: u8) -> String {
    format!("dhow{slot}-")
}

fn link(slot: u8) -> String {
    format!("dhw{slot}-")
}

/// An interface of the machine.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    name: String,
    addresses: Vec<Ipv4Addr>,
}

/// By its name, or by its address where Docker chose the name.
fn is_of(found: &Link, slot: u8) -> bool {
    let ours = |address: &Ipv4Addr| {
        let [a, b, c, _] = address.octets();
        a == 10 && (b == 212 || b == 213) && c / 16 == slot
    };
    found.name.starts_with(&link(slot)) || found.addresses.iter().any(ours)
}

fn links() -> anyhow::Result<Vec<Link>> {
    parse_links(&output(&["-json", "address", "show"])?)
}

fn parse_links(text: &str) -> anyhow::Result<Vec<Link>> {
    let found: Vec<Value> = serde_json::from_str(text).context("`ip -json address show` printed no list")?;
    let links = found.iter().filter_map(|link| {
        let addresses = link.get("addr_info")?.as_array()?.iter();
        let addresses =
            addresses.filter_map(|address| address.get("local")?.as_str()?.parse().ok()).collect();
        Some(Link { name: link.get("ifname")?.as_str()?.to_owned(), addresses })
    });
    Ok(links.collect())
}

fn namespaces() -> anyhow::Result<Vec<String>> {
    let lines = output(&["netns", "list"])?;
    Ok(lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn program() -> Command {
    Command::new(process::find("ip").unwrap_or_else(|| "ip".into()))
}

/// Runs `ip`.
pub fn ip(args: &[&str]) -> anyhow::Result<()> {
    process::run(program().args(args))
}

/// What `ip` prints.
pub fn output(args: &[&str]) -> anyhow::Result<String> {
    let output = program().args(args).output().context("cannot run `ip`")?;
    if !output.status.success() {
        bail!("`ip {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_two_slots_share_nothing() {
        let (one, other) = (Net::new(0, 14, "s1"), Net::new(1, 0, "s1"));
        assert_eq!(one.address.to_string(), "10.213.14.2");
        assert_eq!(other.address.to_string(), "10.213.16.2");
        assert_ne!(one.netns, other.netns);
        assert_ne!(one.link, other.link);
    }

    #[test]
    fn the_kernel_takes_no_longer_interface_names() {
        assert!(Net::new(15, 0, "docker").link.len() <= 15);
    }

    #[test]
    fn networks_that_docker_named_are_ours_by_their_address() {
        let text = r#"[
            {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}, {"local": "::1"}]},
            {"ifname": "br-0123456789ab", "addr_info": [{"local": "10.212.17.1"}]},
            {"ifname": "br-ba9876543210", "addr_info": [{"local": "172.18.0.1"}]}]"#;
        let links = parse_links(text).unwrap();
        let ours: Vec<_> =
            links.iter().filter(|link| is_of(link, 1)).map(|link| link.name.as_str()).collect();
        assert_eq!(ours, ["br-0123456789ab"]);
        assert!(!links.iter().any(|link| is_of(link, 0)));
    }
}
