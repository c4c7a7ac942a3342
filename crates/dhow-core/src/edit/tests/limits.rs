use std::time::{Duration, Instant};

use super::*;

fn only_problem(found: &Found) -> (ProblemKind, usize) {
    assert!(found.sites.is_empty());
    let [problem] = &found.problems[..] else { panic!("{:?}", found.problems) };
    (problem.kind, problem.line)
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_line_and_by_whether_it_has_a_marker() {
    let broken = "a: b\nimage: {{ .Values.image }}:x\n  - c\n";
    assert_eq!(only_problem(&find_in("x.yaml", broken)).0, ProblemKind::Parse);
    let marked = format!("{broken}d: e # {{\"$imagepolicy\": \"ns:a\"}}\n");
    let (kind, line) = only_problem(&find_in("x.yaml", &marked));
    assert_eq!(kind, ProblemKind::ParseWithMarker);
    assert!(line >= 2);
}

#[test]
fn a_text_over_the_size_limit_is_told_and_left_alone() {
    let text = format!("image: nginx:1\n#{}", "x".repeat(MAX_TEXT));
    assert_eq!(only_problem(&find_in("x.yaml", &text)), (ProblemKind::TooLarge, 1));
}

#[test]
fn ten_megabytes_of_values_are_refused_by_their_number() {
    let text = format!("[{}1]", "1,".repeat(MAX_TEXT / 2 - 10));
    assert_eq!(only_problem(&find_in("x.yaml", &text)).0, ProblemKind::TooLarge);
}

#[test]
fn deep_nesting_is_told_and_left_alone() {
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "a: {".repeat(100_000)] {
        let found = find_in("x.yaml", &text);
        assert!(found.sites.is_empty() && found.problems.len() == 1, "{:?}", found.problems);
    }
    let deep = format!("image: nginx:1\nx: {}1{}\n", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    assert_eq!(only_problem(&find_in("x.yaml", &deep)).0, ProblemKind::TooLarge);
}

#[test]
fn an_alias_bomb_costs_no_more_than_its_length() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..60 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", alias.trim_end_matches(", ")));
    }
    text.push_str("image: nginx:1\n");
    assert_eq!(updated(&text, "nginx:2"), text.replace("nginx:1", "nginx:2@NEW"));
}

#[test]
fn a_long_header_of_comments_is_no_hindrance() {
    let text = format!("{}image: nginx:1\n", "# licence\n".repeat(500));
    assert_eq!(find_in("x.yaml", &text).sites.len(), 1);
}

#[test]
fn twenty_thousand_values_are_found_at_once() {
    let line = |n: usize| {
        format!("- name: s{n}\n  image: ghcr.io/acme/s{n}:v1 # {{\"$imagepolicy\": \"ns:s{n}\"}}\n")
    };
    let text: String = (0..20_000).map(line).collect();
    let started = Instant::now();
    let found = find_in("x.yaml", &text);
    let took = started.elapsed();
    assert_eq!(found.sites.len(), 20_000);
    // 100 ms is the aim of a release build; a debug build on a busy machine gets room.
    let limit = if cfg!(debug_assertions) { Duration::from_secs(10) } else { Duration::from_millis(100) };
    assert!(took < limit, "{took:?}");
}
