use super::*;

#[test]
fn an_image_takes_tag_and_digest_and_keeps_its_spelling_and_quotes() {
    let old = Digest::of(b"old");
    for (before, after) in [
        ("nginx".to_owned(), "nginx:2@NEW"),
        ("nginx:1".to_owned(), "nginx:2@NEW"),
        ("'nginx:1'".to_owned(), "'nginx:2@NEW'"),
        ("\"library/nginx:1\"".to_owned(), "\"library/nginx:2@NEW\""),
        (format!("docker.io/library/nginx:1@{old}"), "docker.io/library/nginx:2@NEW"),
        (format!("nginx@{old}"), "nginx:2@NEW"),
        ("&a nginx:1".to_owned(), "&a nginx:2@NEW"),
        ("!!str nginx:1".to_owned(), "!!str nginx:2@NEW"),
    ] {
        assert_eq!(
            updated(&format!("image: {before} # note\n"), "nginx:2"),
            format!("image: {after} # note\n")
        );
    }
}

#[test]
fn a_registry_with_a_port_keeps_it() {
    let text = "image: localhost:5000/a/b\n";
    assert_eq!(updated(text, "localhost:5000/a/b:2"), "image: localhost:5000/a/b:2@NEW\n");
}

#[test]
fn a_bundle_without_a_tag_is_set() {
    let text = "servers: [web1]\nbundle: ghcr.io/a/web";
    let found = find_in("services/s/static_file/stage/dhow.yaml", text);
    assert_eq!(set_all(text, &found, "ghcr.io/a/web:1"), format!("{text}:1@NEW"));
}

#[test]
fn a_kustomize_entry_takes_the_tag_and_a_digest_only_where_it_has_one() {
    let old = Digest::of(b"old");
    for (before, after) in [
        ("newTag: 1.9".to_owned(), "newTag: \"1.10\""),
        ("newTag: 'v1'".to_owned(), "newTag: '1.10'"),
        (format!("newTag: v1\n    digest: {old}"), "newTag: \"1.10\"\n    digest: NEW"),
        (format!("digest: {old}"), "digest: NEW"),
    ] {
        let text = |entry: &str| format!("images:\n  - name: api\n    newName: ghcr.io/a/api\n    {entry}\n");
        let found = find_in("Kustomization", &text(&before));
        assert_eq!(found.sites.len(), 1);
        assert_eq!(found.sites[0].form, Form::KustomizeImage);
        assert_eq!(set_all(&text(&before), &found, "ghcr.io/a/api:1.10"), text(after));
    }
}

#[test]
fn a_kustomize_entry_without_a_place_for_a_version_is_a_problem() {
    let found = find_in("kustomization.yaml", "images: [{name: nginx, newName: ghcr.io/a/nginx}]\n");
    assert!(found.sites.is_empty());
    assert!(found.problems[0].message.contains("neither newTag nor digest"), "{found:?}");
}

#[test]
fn a_tag_that_would_be_a_number_is_quoted_also_in_flow() {
    let text = "images: [{name: nginx, newTag: v1}]\n";
    let found = find_in("kustomization.yaml", text);
    for tag in ["1.10", "12e4567", "1_0", "0x1f"] {
        assert_eq!(set_all(text, &found, &format!("nginx:{tag}")), text.replace("v1", &format!("\"{tag}\"")));
    }
}

#[test]
fn a_digest_marker_takes_the_digest_only() {
    let old = Digest::of(b"old");
    let text = format!("newDigest: {old} # {{\"$imagepolicy\": \"ns:a:digest\"}}\n");
    assert_eq!(updated(&text, "nginx:2"), text.replace(&old.to_string(), "NEW"));
}

#[test]
fn everything_around_the_value_survives() {
    let text = "\u{feff}# é\r\nü:\tx\t#\ttab\r\nimage:   nginx:1   \t# ✓ {}\r\nb: |\r\n  image: nginx:1\r\n\r\n---\r\n\
                [ {\"image\" : 'nginx:1' } ]\r\n...\r\n---\r\n? image\r\n: nginx:1";
    let found = find_in("x.yaml", text);
    assert_eq!(found.sites.len(), 3);
    let expected = text.replace("nginx:1", "nginx:2@NEW").replace("  image: nginx:2@NEW", "  image: nginx:1");
    assert_eq!(set_all(text, &found, "nginx:2"), expected);
}

#[test]
fn several_versions_are_written_at_once() {
    let text = "a: {image: nginx:1}\nb: {image: redis:1}\nc: {image: nginx:1}\n";
    let found = find_in("x.yaml", text);
    let version = |site: &Site| pin(&format!("{}:22", site.repository.as_ref().unwrap()));
    let mut edits: Vec<_> = found.sites.iter().map(|site| (site.clone(), version(site))).collect();
    edits.reverse();
    let new = apply(text, &edits).unwrap().replace(&digest().to_string(), "NEW");
    assert_eq!(new, text.replace(":1}", ":22@NEW}"));
}

#[test]
fn a_text_that_holds_the_version_already_stays() {
    let text = format!("image: nginx:2@{}\n", digest());
    let found = find_in("x.yaml", &text);
    assert_eq!(set(&text, &found.sites, &pin("nginx:2")), Ok(text));
}

#[test]
fn a_text_that_changed_since_is_refused() {
    let found = find_in("x.yaml", "image: nginx:1\n");
    for now in ["image: nginx:3\n", "x: y\nimage: nginx:1\n", "", "image: 'nginx:1'\n"] {
        let error = set(now, &found.sites, &pin("nginx:2")).unwrap_err();
        assert!(
            matches!(error, EditError::Stale { line: 1, .. } | EditError::Unproved { .. }),
            "{now:?}: {error}"
        );
    }
}

#[test]
fn the_same_bytes_in_another_meaning_are_refused() {
    let found = find_in("x.yaml", "image: nginx:1\n");
    let error = set("x: |1\n nginx:1\n", &found.sites, &pin("nginx:2")).unwrap_err();
    assert!(matches!(error, EditError::Unproved { .. }), "{error}");
}

#[test]
fn another_repository_is_refused_where_the_repository_found_the_site() {
    let found = find_in("x.yaml", "image: nginx:1\n");
    let error = set("image: nginx:1\n", &found.sites, &pin("redis:1")).unwrap_err();
    assert!(matches!(error, EditError::OtherRepository { .. }), "{error}");
}

#[test]
fn a_missing_tag_or_digest_is_refused_where_it_is_needed() {
    let reference = |text: &str| text.parse::<ImageReference>().unwrap();
    let tag = "t: v1 # {\"$imagepolicy\": \"ns:a:tag\"}\n";
    let site = find_in("x.yaml", tag).sites.remove(0);
    let error = write(tag, &[(site, reference(&format!("nginx@{}", digest())))]).unwrap_err();
    assert!(matches!(error, EditError::NeedsTag { .. }), "{error}");
    let text = format!("images: [{{name: nginx, newTag: v1, digest: \"{}\"}}]\n", digest());
    let site = find_in("kustomization.yaml", &text).sites.remove(0);
    let error = write(&text, &[(site, reference("nginx:2"))]).unwrap_err();
    assert!(matches!(error, EditError::NeedsDigest { .. }), "{error}");
}

#[test]
fn without_a_digest_an_old_one_does_not_stay() {
    let text = format!("image: nginx:1@{}\n", digest());
    let site = find_in("x.yaml", &text).sites.remove(0);
    assert_eq!(write(&text, &[(site, "nginx:2".parse().unwrap())]), Ok("image: nginx:2\n".to_owned()));
}

#[test]
fn one_value_cannot_become_two() {
    let text = "a: x # {\"$imagepolicy\": \"ns:a\"}\n";
    let site = find_in("x.yaml", text).sites.remove(0);
    let error = apply(text, &[(site.clone(), pin("nginx:1")), (site, pin("nginx:2"))]).unwrap_err();
    assert!(matches!(error, EditError::Conflict { .. }), "{error}");
}
