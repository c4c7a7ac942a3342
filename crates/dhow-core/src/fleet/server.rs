//! `servers:` of the root file.

use std::collections::BTreeMap;

use super::keys;
use super::model::{Jump, Server};
use super::proxy::{self, ProxyAt};
use super::route;
use crate::diagnostic::nearest;
use crate::noun::ServerName;
use crate::yaml::{Node, Reader};

/// All servers. A jump host that is named must be one of them, and have none itself.
pub(super) fn read_all(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<ServerName, Server> {
    let mut servers = BTreeMap::new();
    let (mut jumps, mut proxies) = (Vec::new(), Vec::new());
    for (key, value) in reader.entries(node, "servers") {
        let Some(name) = reader.parse_text::<ServerName>(&key.text, key.at, "servers") else { continue };
        let Some(server) = read(reader, value) else { continue };
        if let (Some(Jump::Server(jump)), Some(node)) = (&server.jump, value.get("jump")) {
            jumps.push((jump.clone(), node.at));
        }
        if let (Some(ProxyAt::Server(at)), Some(node)) = (&server.proxy_at, value.get("proxy")) {
            proxies.push((name.clone(), at.clone(), node.at));
        }
        servers.insert(name, server);
    }
    for (name, at, place) in proxies {
        let problem = match servers.get(&at) {
            None => format!("the fleet has no server {at} whose proxy could lead to {name}"),
            Some(server) if server.proxy_at.is_some() => {
                format!("the proxy of {at} is elsewhere itself: name the server that has it")
            }
            Some(_) => continue,
        };
        reader.error(place, problem);
    }
    for (jump, at) in jumps {
        match servers.get(&jump) {
            None => {
                let help = match nearest(jump.as_str(), servers.keys().map(ServerName::as_str)) {
                    Some(name) => format!("did you mean {name:?}?"),
                    None => "declare it under servers, or write user@host or user@host:port".into(),
                };
                reader.error_help(at, format!("the fleet has no server {jump} to jump through"), help);
            }
            Some(server) if server.jump.is_some() => {
                let help = "one host in between is possible";
                reader.error_help(at, format!("the jump host {jump} is behind a jump host itself"), help);
            }
            Some(_) => {}
        }
    }
    servers
}

fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Server> {
    let fields = reader.fields(node, "a server", keys::SERVER);
    let environments = fields.get("environments").map(|n| reader.list(n, "environments")).unwrap_or_default();
    let jump = fields.get("jump").and_then(|n| jump(reader, n));
    let identity = fields.get("identity").and_then(|n| identity(reader, n));
    let fingerprint = fields.get("fingerprint").and_then(|n| fingerprint(reader, n));
    let proxy_at = fields.get("proxy").and_then(|n| proxy::read_at(reader, n));
    let elsewhere = fields.get("proxy").is_some_and(|n| n.get("at").is_some());
    let proxy = fields.get("proxy").filter(|_| !elsewhere).and_then(|n| proxy::read(reader, n));
    let reached = fields.get("address").and_then(|n| host(reader, n));
    let mut labels = BTreeMap::new();
    for (key, value) in fields.get("labels").map(|n| reader.entries(n, "labels")).unwrap_or_default() {
        if let Some(text) = reader.text(value, "a label") {
            labels.insert(key.text.clone(), text.to_owned());
        }
    }
    let Some(ssh) = fields.get("ssh") else {
        reader.error_help(node.at, "a server needs ssh", "write ssh: user@host or user@host:port");
        return None;
    };
    let text = reader.text(ssh, "ssh")?;
    if address(text).is_none() {
        let message = format!("{text:?} is no address of a server");
        reader.error_help(ssh.at, message, "write user@host or user@host:port");
    }
    Some(Server {
        ssh: text.to_owned(),
        jump,
        identity,
        fingerprint,
        environments,
        labels,
        proxy,
        proxy_at,
        address: reached,
    })
}

/// An IP address, or a name.
fn host(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    match node.as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok()) {
        Some(address) => Some(address.to_string()),
        None => route::host(reader, node),
    }
}

fn jump(reader: &mut Reader<'_>, node: &Node) -> Option<Jump> {
    let text = reader.text(node, "jump")?;
    if !text.contains('@') {
        return reader.parse(node, "jump").map(Jump::Server);
    }
    if address(text).is_none() {
        let help = "write the name of a server, user@host or user@host:port";
        reader.error_help(node.at, format!("{text:?} is no address of a jump host"), help);
        return None;
    }
    Some(Jump::Address(text.to_owned()))
}

fn identity(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "identity")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(legal) {
        let help =
            "write a name that `identities` of serve's --config has; the key itself is never in the fleet";
        reader.error_unseen(node.at, "identity is no name of a key", help);
        return None;
    }
    Some(text.to_owned())
}

fn fingerprint(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "fingerprint")?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    if !text.strip_prefix("SHA256:").is_some_and(|hash| hash.len() == 43 && hash.chars().all(legal)) {
        let help = "write SHA256: and 43 characters, as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints them";
        reader.error_help(node.at, format!("{text:?} is no fingerprint of a host key"), help);
        return None;
    }
    Some(text.to_owned())
}

/// `user@host[:port]` in its parts; `None` where it is none.
pub fn address(text: &str) -> Option<(&str, &str, u16)> {
    let (user, place) = text.split_once('@')?;
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "22"));
    let legal = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (legal(user) && legal(host)).then_some((user, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, MemoryTree, load};

    const PRINT: &str = "SHA256:ILkcXfagyuB+4bXyKCjkXR4pcuXkv8I56zWQZ+PdwEQ";

    fn fleet(servers: &str) -> Fleet {
        load(&MemoryTree::new([("dhow.yaml", format!("servers:\n{servers}").as_str())]))
    }

    fn told(servers: &str) -> String {
        fleet(servers).diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_that_may_be_said_of_a_server_is_read() {
        let fleet = fleet(&format!(
            "  gate: {{ ssh: root@gate }}\n  web1: {{ ssh: \"deploy@web1:2222\", jump: gate, identity: deploy-key, \
             fingerprint: \"{PRINT}\", environments: [prod], labels: {{ zone: \"a\" }} }}\n  web2: {{ ssh: a@b, jump: c@d }}\n"
        ));
        assert_eq!(fleet.diagnostics, []);
        let [_, web1, web2] = fleet.servers.values().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(web1.jump, Some(Jump::Server("gate".parse().unwrap())));
        assert_eq!(
            (web1.identity.as_deref(), web1.fingerprint.as_deref()),
            (Some("deploy-key"), Some(PRINT))
        );
        assert_eq!((web1.environments[0].as_str(), web1.labels["zone"].as_str()), ("production", "a"));
        assert_eq!(web2.jump, Some(Jump::Address("c@d".into())));
    }

    #[test]
    fn what_is_wrong_in_a_server_is_told_with_what_to_write() {
        for (servers, text) in [
            ("  a: { ssh: x@y, jump: bb }\n  b: { ssh: x@y }\n", "did you mean \"b\"?"),
            ("  a: { ssh: x@y, jump: b }\n  b: { ssh: x@y, jump: u@h }\n", "behind a jump host itself"),
            ("  a: { ssh: x@y, jump: \"u@-h\" }\n", "no address of a jump host"),
            ("  a: { ssh: x@y, fingerprint: MD5:1 }\n", "no fingerprint"),
            ("  a: { ssh: x@y, identity: /etc/key }\n", "never in the fleet"),
            ("  a: { ssh: x }\n", "user@host:port"),
            ("  a: { environments: [stage] }\n", "needs ssh"),
        ] {
            assert!(told(servers).contains(text), "{servers}: {}", told(servers));
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        assert_eq!(address("a@b"), Some(("a", "b", 22)));
        assert_eq!(address("a@b.c:2222"), Some(("a", "b.c", 2222)));
        for odd in ["a", "@b", "a@", "a@b:0", "a@b:x", "-a@b", "a@-o", "a b@c", "a@b c"] {
            assert_eq!(address(odd), None, "{odd}");
        }
    }
}
