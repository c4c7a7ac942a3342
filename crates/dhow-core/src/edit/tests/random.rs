use proptest::prelude::*;

use super::*;

/// A line of a file around `image:` values, with all that must survive.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("nginx".to_owned()),
        "nginx:[a-z0-9][a-z0-9.]{0,6}",
        "'nginx:[0-9]{1,3}'",
        "\"nginx:[0-9]\\.[0-9]{1,2}\"",
        Just("&x nginx:1".to_owned()),
    ];
    let comment = prop_oneof![
        Just(String::new()),
        Just("  ".to_owned()),
        "[ \t]#[ \ta-zé✓:'\"{}-]{0,12}",
        Just(" # {\"$imagepolicy\": \"ns:web\"}".to_owned()),
    ];
    (value, comment, 0..10_u8).prop_map(|(value, comment, shape)| match shape {
        0 => format!("- image: {value}{comment}"),
        1 => format!("- {{ \"image\": {value} , b: [ü] }}{}", comment.replace('$', "")),
        2 => format!("- a:\n    - image:   {value}{comment}"),
        3 => format!("---{}\n- image: {value}", comment.replace('$', "")),
        4 => format!("-\n  ? image\n  : {value}{comment}"),
        5 => format!("- |+\n  image: {value}\n\n- é: {value}"),
        6 => format!("- >-\n   image: {value}\n- 'image: {}'", value.replace('\'', "")),
        7 => format!("- image: redis:7{}", comment.replace('$', "")),
        8 => format!("# {value}\n\n- x:\t1\t# tab"),
        _ => format!("- ' multi\n\n   line'\n- image: {value}{comment}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_changed_file_differs_only_in_the_bytes_of_the_values_that_changed(
        lines in prop::collection::vec(line(), 1..12),
        crlf: bool, mark: bool, newline: bool, tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}",
    ) {
        let mut text = lines.join("\n");
        if newline {
            text.push('\n');
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        if mark {
            text.insert(0, '\u{feff}');
        }
        let request = FindRequest {
            repositories: Some(["nginx".parse().unwrap()].into()),
            ..FindRequest::default()
        };
        let found = find("x.yaml", &text, &request);
        prop_assert!(found.problems.iter().all(|p| p.kind == ProblemKind::StrayMarker), "{:?} in {text:?}", found.problems);
        let new = set(&text, &found.sites, &pin(&format!("nginx:{tag}"))).unwrap();
        // Cut the sites' bytes out of the old text: what is left must stand in the new one, in that order,
        // with the new value between.
        let mut rest = new.as_str();
        let mut copied = 0;
        for part in found.sites.iter().flat_map(|site| &site.parts) {
            let kept = &text[copied..part.span.start];
            prop_assert!(rest.starts_with(kept), "{text:?} became {new:?}");
            rest = &rest[kept.len()..];
            let quote = rest.chars().next().filter(|c| "'\"".contains(*c)).map(String::from).unwrap_or_default();
            let value = format!("{quote}nginx:{tag}@{}{quote}", digest());
            prop_assert!(rest.starts_with(&value), "{text:?} became {new:?}");
            rest = &rest[value.len()..];
            copied = part.span.end;
        }
        prop_assert_eq!(rest, &text[copied..]);
        // And it is found again, as it was written.
        let again = find("x.yaml", &new, &request);
        prop_assert_eq!(again.sites.len(), found.sites.len());
        prop_assert!(again.sites.iter().all(|site| site.digest == Some(digest())));
    }

    #[test]
    fn no_text_whatever_makes_the_search_or_the_edit_fail_badly(
        text in "([ \t\n\r:#{}\\[\\],&*!|>'\"%@`?a-c-]|image: nginx:1|\\$imagepolicy|\u{feff}|é){0,60}",
        env_file: bool,
    ) {
        let request = FindRequest { env_file, oob: vec!["a".into(), "a[0].b".into()], ..FindRequest::default() };
        for file in ["x.yaml", "kustomization.yaml", "dhow.yaml"] {
            let found = find(file, &text, &request);
            for site in &found.sites {
                prop_assert!(site.line >= 1 && site.column >= 1);
                let mut version = pin("nginx:2");
                if let SiteKey::Repository(repository) = &site.key {
                    version.repository = repository.clone();
                }
                let new = set(&text, std::slice::from_ref(site), &version);
                prop_assert!(new.is_ok(), "{:?}: {:?}", text, new);
            }
        }
    }
}
