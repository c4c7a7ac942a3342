use std::io;

use dhow_core::fleet::{Entry, EntryKind, MemoryTree, Tree, load};

use super::{COMPOSE, deployments, errors, fleet, only, tree};

const FOLDER: &str = "services/a/compose/stage";

#[test]
fn an_unknown_key_has_its_place_and_the_nearest_known() {
    let found = only(&[("dhow.yaml", "environments:\n  stage: { updat: commit }\n")]);
    assert_eq!((found.line, found.column), (2, 12));
    assert_eq!(found.help.as_deref(), Some("did you mean \"update\"?"));
    assert_eq!(found.snippet.as_deref(), Some("  stage: { updat: commit }"));
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let fleet = fleet(&[(
        "dhow.yaml",
        "environments:\n  stage: { update: never, soak: 3 }\n  a b: {}\nservrs: {}\npeople: [x]\npeople: {}\n",
    )]);
    let lines: Vec<usize> = fleet.diagnostics.iter().map(|d| d.line).collect();
    assert_eq!(lines, [2, 2, 2, 3, 4, 5, 6], "{:#?}", fleet.diagnostics);
    assert!(fleet.broken_root);
}

#[test]
fn a_broken_file_breaks_its_deployment_and_no_other() {
    for bad in ["services:\n\tweb: x\n", "a: [", "a: 1\na: 2\n"] {
        let fleet = fleet(&[
            (&format!("{FOLDER}/compose.yaml"), bad),
            ("services/b/compose/stage/compose.yaml", COMPOSE),
        ]);
        assert_eq!(deployments(&fleet), ["b/compose/stage"]);
        assert_eq!(fleet.broken.keys().next().unwrap().to_string(), "a/compose/stage");
    }
}

#[test]
fn a_broken_file_of_a_service_freezes_that_service() {
    let fleet = fleet(&[
        (&format!("{FOLDER}/compose.yaml"), COMPOSE),
        ("services/a/dhow.yaml", "artifact: {}\n"),
        ("services/b/compose/stage/compose.yaml", COMPOSE),
    ]);
    assert!(fleet.broken_services.contains(&"a".parse().unwrap()));
    assert_eq!(deployments(&fleet), ["b/compose/stage"]);
    assert!(fleet.broken.contains_key(&"a/compose/stage".parse().unwrap()));
}

#[test]
fn ten_megabytes_bombs_and_invalid_utf8_are_told() {
    let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain((1..10).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))))
        .collect();
    for (bytes, word) in [
        (vec![b'#'; 10_000_000], "10000000 bytes"),
        (bomb.into_bytes(), "aliases"),
        (b"project: \xfe\n".to_vec(), "byte 9"),
    ] {
        let mut tree = tree(&[(&format!("{FOLDER}/compose.yaml"), COMPOSE)]);
        tree.files.insert(format!("{FOLDER}/dhow.yaml"), bytes);
        let fleet = load(&tree);
        assert!(fleet.diagnostics[0].message.contains(word), "{:?}", fleet.diagnostics);
        assert_eq!(fleet.broken.len(), 1);
    }
}

#[test]
fn names_that_could_reach_a_shell_are_refused() {
    for name in ["a b", "a;b", "a'b", "a\"b", "a\nb", "-a"] {
        let service = fleet(&[(&format!("services/{name}/compose/stage/compose.yaml"), COMPOSE)]);
        assert!(errors(&service)[0].message.contains("service name"), "{name:?}");
        let environment = fleet(&[(&format!("services/a/compose/{name}/compose.yaml"), COMPOSE)]);
        assert!(errors(&environment)[0].message.contains("environment name"), "{name:?}");
        assert!(service.deployments.is_empty() && environment.deployments.is_empty());
    }
}

#[test]
fn a_path_out_of_the_fleet_is_refused() {
    for (file, text) in [
        ("compose.yaml", "services: {web: {env_file: ../../../../../x.env}}\n"),
        ("dhow.yaml", "files: [../../../../../x]\n"),
        ("dhow.yaml", "not_found: ../secret\n"),
        ("sami.yaml", "oob: [{update-image: {file: ../../../../../x, path: y}}]\n"),
    ] {
        let fleet = fleet(&[(&format!("{FOLDER}/{file}"), text)]);
        assert!(errors(&fleet)[0].message.contains("leads out"), "{text}: {:?}", fleet.diagnostics);
        assert_eq!(fleet.broken.len(), 1, "{text}");
    }
    let root = only(&[("dhow.yaml", "deployments: [{path: ../x, service: a, environment: b}]\n")]);
    assert!(root.message.contains("leads out of the fleet"));
}

#[test]
fn unknown_keys_of_sami_are_warnings() {
    let fleet = fleet(&[
        (&format!("{FOLDER}/sami.yml"), "service_nam: a\n"),
        (&format!("{FOLDER}/compose.yaml"), COMPOSE),
    ]);
    assert_eq!(fleet.deployments.len(), 1);
    assert_eq!(fleet.diagnostics[0].help.as_deref(), Some("did you mean \"service_name\"?"));
}

#[test]
fn a_literal_secret_is_refused_and_not_shown() {
    for text in [
        "registries: {r.acme.dev: {credentials: hunter2}}\n",
        "registries: {r.acme.dev: {credentials: {user: hunter2}}}\n",
    ] {
        let found = only(&[("dhow.yaml", text)]);
        assert!(found.message.contains("literal secret"), "{found}");
        assert!(!format!("{found}{found:?}").contains("hunter2"));
    }
    let checks = "checks:\n  - http: { url: 'https://u:hunter2@x/' }\n  - http: { url: 'https://x/', headers: {Authorization: hunter2} }\n";
    let fleet = fleet(&[("services/a/dhow.yaml", checks)]);
    assert_eq!(fleet.diagnostics.len(), 2);
    assert!(!format!("{:?}", fleet.diagnostics).contains("hunter2"));
}

/// A tree with one symbolic link.
struct Linked(MemoryTree, &'static str, &'static str);

impl Tree for Linked {
    fn content_of(&self, bytes: &[u8]) -> String {
        MemoryTree::default().content_of(bytes)
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = self.0.list(folder)?;
        let (parent, name) = self.1.rsplit_once('/').unwrap();
        if parent == folder {
            entries.push(Entry { name: name.into(), kind: EntryKind::Symlink, content: String::new() });
        }
        Ok(entries)
    }
    fn link(&self, path: &str) -> io::Result<Option<String>> {
        Ok((path == self.1).then(|| self.2.to_owned()))
    }
}

#[test]
fn a_link_out_of_the_folder_is_an_error_and_one_within_is_told() {
    let files = || tree(&[("services/a/compose/stage/compose.yaml", COMPOSE)]);
    for out in ["/etc/passwd", "../../../b", "../stage2/x"] {
        let fleet = load(&Linked(files(), "services/a/compose/stage/link", out));
        assert!(errors(&fleet)[0].message.contains("leads out"), "{out}");
        assert!(fleet.broken.contains_key(&"a/compose/stage".parse().unwrap()));
    }
    let fleet = load(&Linked(files(), "services/a/compose/stage/link", "compose.yaml"));
    assert_eq!((fleet.deployments.len(), errors(&fleet).len(), fleet.diagnostics.len()), (1, 0, 1));
}

#[test]
fn a_folder_that_became_a_link_is_frozen_and_not_removed() {
    let fleet = load(&Linked(tree(&[("services/a/dhow.yaml", "")]), "services/a/compose", "x"));
    assert!(fleet.broken_services.contains(&"a".parse().unwrap()));
    let fleet = load(&Linked(tree(&[("services/a/compose/x", "")]), "services/a/compose/stage", "x"));
    assert!(fleet.broken.contains_key(&"a/compose/stage".parse().unwrap()), "{fleet:?}");
}
