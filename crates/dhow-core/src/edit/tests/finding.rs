use std::collections::BTreeSet;

use super::*;

fn marker(name: &str) -> SiteKey {
    SiteKey::Marker { namespace: "ns".into(), name: name.into() }
}

fn kinds(found: &Found) -> Vec<ProblemKind> {
    found.problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn an_image_is_found_at_any_depth_of_any_document_with_its_place() {
    let text = "a: 1\n---\nspec:\n  - {x: [{image: 'ghcr.io/acme/api:v1'}]}\n";
    let found = find_in("x.yaml", text);
    let [site] = &found.sites[..] else { panic!("{found:?}") };
    assert_eq!((site.line, site.column, site.form), (4, 18, Form::Image));
    assert_eq!(site.repository, Some("ghcr.io/acme/api".parse().unwrap()));
    assert_eq!((site.tag.as_ref().map(|t| t.as_str()), site.digest), (Some("v1"), None));
    assert_eq!(site.key, SiteKey::Repository("ghcr.io/acme/api".parse().unwrap()));
    assert!(site.holds_digest());
}

#[test]
fn only_wanted_repositories_are_found_however_they_are_spelt() {
    let request = FindRequest {
        repositories: Some(BTreeSet::from(["docker.io/library/nginx".parse().unwrap()])),
        ..FindRequest::default()
    };
    let found = find("x.yaml", "a: {image: nginx:1}\nb: {image: redis:7}\n", &request);
    assert_eq!(found.sites.len(), 1);
}

#[test]
fn values_that_another_program_fills_in_are_no_sites_and_no_problems() {
    for value in ["nginx:${TAG:-1}", "${IMAGE}", "\"${IMAGE}:1\"", "${X} # {\"$imagepolicy\": \"ns:n\"}"] {
        assert_eq!(find_in("x.yaml", &format!("image: {value}\n")), Found::default(), "{value}");
    }
}

#[test]
fn what_artifacts_declares_is_never_a_site() {
    let text = "bundle: ghcr.io/a/web\nartifacts:\n  api: { image: ghcr.io/a/api }\n  \
                web: { bundle: ghcr.io/a/web }\nx: {bundle: ghcr.io/a/web}\n\
                environments: {qa: {artifacts: {api: {image: ghcr.io/a/api}}}}\n";
    let found = find_in("services/shop/dhow.yaml", text);
    assert_eq!(found.sites.iter().map(|s| (s.form, s.line)).collect::<Vec<_>>(), [(Form::Bundle, 1)]);
    let marked = "artifacts:\n  api: { policy: x }\n  tag: v1 # {\"$imagepolicy\": \"ns:api:tag\"}\n";
    assert_eq!(kinds(&find_in("dhow.yaml", marked)), [ProblemKind::NotEditable]);
    assert_eq!(find_in("other.yaml", "bundle: ghcr.io/a/web\n"), Found::default());
}

#[test]
fn an_alias_is_edited_at_its_anchor_and_once() {
    let text = "x: &img nginx:1\na: {image: *img}\nb: {image: *img}\n";
    let found = find_in("x.yaml", text);
    assert_eq!(found.sites.len(), 1);
    assert_eq!(set_all(text, &found, "nginx:2"), text.replace("nginx:1", "nginx:2@NEW"));
}

#[test]
fn an_alias_of_a_block_scalar_is_a_problem() {
    let found = find_in("x.yaml", "x: &img |\n  nginx:1\na: {image: *img}\n");
    assert_eq!((found.sites.len(), kinds(&found)), (0, vec![ProblemKind::NotEditable]));
}

#[test]
fn a_marker_wins_over_the_repository_and_needs_no_reference() {
    let text = "image: nginx:1 # {\"$imagepolicy\": \"ns:web\"}\n\
                other: soon\t#\t{\"$imagepolicy\": \"ns:api\"}\n";
    let found = find_in("x.yaml", text);
    let keys: Vec<_> = found.sites.iter().map(|site| site.key.clone()).collect();
    assert_eq!(keys, [marker("web"), marker("api")]);
    assert!(found.sites.iter().all(|site| site.form == Form::Marker(MarkerField::Whole)));
    let first = &found.sites[..1];
    let new = set(text, first, &pin("nginx:2")).unwrap();
    assert!(new.starts_with(&format!("image: nginx:2@{} # {{", digest())), "{new}");
}

#[test]
fn markers_of_one_policy_side_by_side_know_the_whole_version() {
    let text = "image:\n  repository: ghcr.io/a/b # {\"$imagepolicy\": \"ns:b:name\"}\n  \
                tag: v1 # {\"$imagepolicy\": \"ns:b:tag\"}\n";
    let found = find_in("release.yaml", text);
    assert_eq!(found.sites.len(), 2);
    for site in &found.sites {
        assert_eq!(site.repository, Some("ghcr.io/a/b".parse().unwrap()));
        assert_eq!(site.tag.as_ref().unwrap().as_str(), "v1");
    }
    assert_eq!(set_all(text, &found, "ghcr.io/a/c:v2"), text.replace("a/b #", "a/c #").replace("v1", "v2"));
}

#[test]
fn a_marker_in_a_kustomize_entry_knows_the_entrys_repository() {
    let text =
        "images:\n- name: api\n  newName: ghcr.io/a/api\n  newTag: v1 # {\"$imagepolicy\": \"ns:a:tag\"}\n";
    let found = find_in("k/kustomization.yml", text);
    let [site] = &found.sites[..] else { panic!("{found:?}") };
    assert_eq!(site.repository, Some("ghcr.io/a/api".parse().unwrap()));
    assert_eq!(site.form, Form::Marker(MarkerField::Tag));
    assert!(!site.holds_digest());
}

#[test]
fn a_marker_that_marks_nothing_editable_is_a_problem() {
    for text in [
        "tag: | # {\"$imagepolicy\": \"ns:a\"}\n  nginx:1\n",
        "# {\"$imagepolicy\": \"ns:a\"}\nimage2: nginx:1\n",
        "image: # {\"$imagepolicy\": \"ns:a\"}\n  nginx:1\n",
        "a: {name: x, newTag: v1} # {\"$imagepolicy\": \"ns:a:tag\"}\n",
        "a: \"x\\u0031\" # {\"$imagepolicy\": \"ns:a:tag\"}\n",
        "a: !secret x # {\"$imagepolicy\": \"ns:a:tag\"}\n",
    ] {
        let found = find_in("x.yaml", text);
        assert_eq!(kinds(&found), [ProblemKind::NotEditable], "{text}");
        assert_eq!(found.problems[0].key, Some(marker("a")), "{text}");
        assert!(found.sites.iter().all(|site| site.key != marker("a")), "{text}");
    }
}

#[test]
fn what_only_looks_like_a_marker_marks_nothing() {
    for text in [
        "a: x # {\"$imagepolicy\": \"ns:a:version\"}\n",
        "a: x # {\"$imagepolicy\": \"a\"}\n",
        "a: x # {\"$imagepolicy\": \"ns:a\"} and more\n",
        "a: |\n  image: nginx:1 # {\"$imagepolicy\": \"ns:a\"}\n",
    ] {
        let found = find_in("x.yaml", text);
        assert_eq!((found.sites.len(), kinds(&found)), (0, vec![ProblemKind::StrayMarker]), "{text}");
    }
    let commented_out = "# image: nginx:1 # {\"$imagepolicy\": \"ns:a\"}\na: x\n";
    assert_eq!(find_in("x.yaml", commented_out), Found::default());
}

#[test]
fn a_marker_behind_a_comma_marks_the_value_before_it() {
    let text = "a: {tag: v1, # {\"$imagepolicy\": \"ns:a:tag\"}\n  b: c}\n";
    assert_eq!(updated(text, "x:v2"), text.replace("v1", "v2"));
}

#[test]
fn an_oob_path_finds_reference_tag_and_digest_by_what_stands_there() {
    let old = Digest::of(b"old");
    let text = format!("img: nginx:1\ntags:\n- name: x\n  tag: 1.10\ndigest: {old}\n");
    for (path, expected) in [
        (".img", text.replace("nginx:1", "nginx:2@NEW")),
        ("tags[0].tag", text.replace("1.10", "\"2\"")),
        ("$.digest", text.replace(&old.to_string(), "NEW")),
    ] {
        let found = oob("values.yaml", &text, path);
        assert_eq!(set_all(&text, &found, "nginx:2"), expected, "{path}");
        assert_eq!(found.sites[0].key, SiteKey::Oob { path: path.into() });
    }
}

#[test]
fn an_oob_path_that_leads_to_no_or_several_values_is_a_problem() {
    let text = "a: {b: x y}\n---\nc: 1\n---\nc: 2\nd:\n";
    for path in ["a.c", "a", "a.b", "c", "a[0]", "a..b", "d"] {
        let found = oob("x.yaml", text, path);
        assert_eq!((found.sites.len(), kinds(&found)), (0, vec![ProblemKind::NotEditable]), "{path}");
    }
}

#[test]
fn a_marker_wins_over_an_oob_path() {
    let found = oob("x.yaml", "tag: v1 # {\"$imagepolicy\": \"ns:a:tag\"}\n", "tag");
    assert_eq!(found.sites.iter().map(|site| &site.key).collect::<Vec<_>>(), [&marker("a")]);
}

#[test]
fn env_values_are_found_by_repository_or_by_key() {
    let text = "# IMAGE=ghcr.io/a/b:0\nexport IMAGE=\"ghcr.io/a/b:1\" # note\r\nTAG=1.10\nX=a b\nNAME=web\n\
                MULTI=\"x\nIMAGE=ghcr.io/a/b:2\n\"\nI=ghcr.io/a/b:$V";
    let found = env(text, FindRequest::default());
    assert_eq!(found.sites.len(), 1);
    assert_eq!((found.sites[0].line, found.sites[0].column), (2, 14));
    assert_eq!(set_all(text, &found, "ghcr.io/a/b:9"), text.replace("b:1", "b:9@NEW"));
    let found = env(
        text,
        FindRequest {
            oob: vec!["TAG".into()],
            repositories: Some(BTreeSet::new()),
            ..FindRequest::default()
        },
    );
    assert_eq!(set_all(text, &found, "ghcr.io/a/b:1.20"), text.replace("1.10", "1.20"));
    let found = env(text, FindRequest { oob: vec!["NONE".into()], ..FindRequest::default() });
    assert_eq!(kinds(&found), [ProblemKind::NotEditable]);
}
