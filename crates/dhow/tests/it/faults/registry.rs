//! A registry outside that is cut off, slow, overloaded, broken or replaced by something else.

use std::time::Duration;

use tokio::time::Instant;

use super::{HOST, once_each, page, shop_outside, told};
use crate::support::outside::{Fault, Part};
use crate::support::visitors::Visitors;
use crate::support::{SHOP, site};

/// Each fault comes while a new version is there, is told with these words, and goes.
async fn each_is_told_and_outlived(faults: &[(Part, Fault, &[&str])]) {
    let (outside, fleet, serve) = shop_outside().await;
    let mut versions = vec!["1.0.0".to_owned()];
    for (n, (part, fault, words)) in faults.iter().enumerate() {
        let (before, version) = (versions.last().unwrap().clone(), format!("{}.0.0", n + 2));
        let before = if n == 0 { "one".to_owned() } else { before };
        let visitors = Visitors::of_site(&serve, HOST);
        outside.breaks(*part, fault.clone());
        outside.publish(&fleet.home(), &site(&version), &version).await.ok();
        let status = told(&serve, &[&[outside.address.as_str()], *words].concat()).await;
        assert!(!status.to_string().contains(&format!("\"{version}\",\"running")), "{status:#}");
        visitors.saw_only(&[&page(&before)]).await;
        let visitors = Visitors::of_site(&serve, HOST);
        outside.heals();
        serve.reaches("shop", "stage", &version).await;
        visitors.saw_only(&[&page(&before), &page(&version)]).await;
        versions.push(version);
    }
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    once_each(&fleet, &serve, &versions).await;
    let status = serve.get("status").await;
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status:#}");
}

#[tokio::test]
async fn a_connection_cut_in_any_phase_of_a_pull_is_told_and_the_pull_is_done_again() {
    each_is_told_and_outlived(&[
        (Part::Tags, Fault::NoAnswer, &["tags of shop/web: no answer"]),
        (Part::Tags, Fault::Half, &["tags of shop/web: no answer: cut short"]),
        (Part::Manifest, Fault::NoAnswer, &["shop/web", "no answer"]),
        (Part::Manifest, Fault::Half, &["manifest shop/web", "no answer: cut short"]),
        (Part::Blob, Fault::NoAnswer, &["blob shop/web", "no answer"]),
        (Part::Blob, Fault::Half, &["blob shop/web", "no answer: cut short"]),
    ])
    .await;
}

const PAGE: Fault = Fault::Answer("200 OK\r\ncontent-type: text/html", "<html>Please log in</html>");
const BROKEN: Fault = Fault::Answer("500 Internal Server Error", "oops");

#[tokio::test]
async fn a_registry_that_answers_with_errors_pages_or_other_content_is_blamed_and_no_version_is() {
    each_is_told_and_outlived(&[
        (Part::Tags, BROKEN, &["it answered 500"]),
        (Part::Blob, BROKEN, &["it answered 500"]),
        (Part::Blob, PAGE, &["this is no registry", "a login page"]),
        (Part::Manifest, Fault::WrongContent, &["the content has the digest", "is broken"]),
        (Part::Blob, Fault::WrongContent, &["the content has the digest", "is broken"]),
    ])
    .await;
}

#[tokio::test]
async fn a_registry_that_wants_fewer_calls_is_left_alone_and_asked_again() {
    let (outside, fleet, serve) = shop_outside().await;
    let visitors = Visitors::of_site(&serve, HOST);
    outside.publish(&fleet.home(), &site("two"), "2.0.0").await.ok();
    outside.breaks(Part::Tags, Fault::Answer("429 Too Many Requests\r\nretry-after: 1", "slow down"));
    let (asked, since) = (outside.asked(Part::Tags), Instant::now());
    told(&serve, &[&outside.address, "too many calls; it wants us to wait 1 s", "tried again later"]).await;
    let (asked, waited) = (outside.asked(Part::Tags) - asked, since.elapsed());
    assert!(asked as u64 <= waited.as_secs() + 2, "{asked} calls in {waited:?}");
    outside.heals();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}

#[tokio::test]
async fn a_slow_registry_holds_up_its_own_deployments_and_no_others() {
    let (outside, fleet, serve) = shop_outside().await;
    let near = SHOP[0].1.replace("/shop/web", "/near/web");
    let files = [
        ("services/near/dhow.yaml", &*near),
        ("services/near/static_file/stage/dhow.yaml", "bundle: dhow.test/near/web\n"),
    ];
    fleet.push("a neighbour", &files).await;
    let visitors = Visitors::of_site(&serve, HOST);
    outside.breaks(Part::Blob, Fault::Drip(Duration::from_millis(50)));
    outside.publish(&fleet.home(), &site("two"), "2.0.0").await.ok();
    serve.until("status?service=shop", |s| s["deployments"][0]["phase"] == "preparing").await;
    serve.publish(&site("near"), "near/web:1.0.0").await.ok();
    serve.reaches("near", "stage", "1.0.0").await;
    assert_eq!(serve.row("shop", "stage").await["phase"], "preparing", "the neighbour waited");
    outside.breaks(Part::Manifest, Fault::Late(Duration::from_millis(300)));
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
}
