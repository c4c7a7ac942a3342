//! The tree builds from whatever mirror a machine is set up with.

use std::fs;

use crate::tree;

/// Package registries' hosts, in two halves: this file is in the tree too.
const HOSTS: [(&str, &str); 9] = [
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("rubygems", ".org"),
    ("proxy.golang", ".org"),
    ("deb.debian", ".org"),
];

fn named(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    HOSTS.iter().map(|(name, end)| format!("{name}{end}")).filter(|host| text.contains(host)).collect()
}

#[test]
fn no_file_names_a_package_registrys_host() {
    let mut offences = Vec::new();
    for file in tree::files() {
        // Cargo writes its default registry into the lock file, whichever mirror served it.
        if file.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        let bytes = fs::read(&file).expect("a file of the tree can be read");
        for host in named(&String::from_utf8_lossy(&bytes)) {
            offences.push(format!("{}: {host}", tree::shown(&file)));
        }
    }
    assert!(offences.is_empty(), "registries are the machine's business:\n{}", offences.join("\n"));
}

#[test]
fn a_host_is_found_whatever_its_case_and_subdomain() {
    let (name, end) = HOSTS[0];
    assert_eq!(named(&format!("https://INDEX.{}{end}/x", name.to_uppercase())), [format!("{name}{end}")]);
    assert!(named("registry.acme.dev").is_empty());
}
