use std::io::Read;

use dhow_core::noun::DeploymentId;
use dhow_static::{CachePolicy, ServeOptions};
use flate2::read::GzDecoder;

use crate::fixture::{Server, files, hash};
use crate::http::{HOST, get, request};

fn ungzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

async fn site(content: &[(&str, &str)]) -> Server {
    Server::start(content, ServeOptions::default()).await
}

#[tokio::test]
async fn pages_have_type_length_etag_and_safe_headers() {
    let server = site(&[("index.html", "hello"), ("a.css", "x"), ("b.bin", "x"), ("c/d e.txt", "x")]).await;
    let answer = get(server.address, "/", "").await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("content-length"), Some("5"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert!(answer.header("etag").unwrap().starts_with('"'), "the tag is not strong");
    let kind = async |path| get(server.address, path, "").await.header("content-type").unwrap().to_owned();
    assert_eq!(kind("/a.css").await, "text/css; charset=utf-8");
    assert_eq!(kind("/b.bin").await, "application/octet-stream");
    assert_eq!(kind("/c/d%20e.txt?query=1").await, "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_known_etag_is_answered_304_without_a_body() {
    let server = site(&[("index.html", "hello")]).await;
    let etag = get(server.address, "/", "").await.header("etag").unwrap().to_owned();
    for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let answer = get(server.address, "/", &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(get(server.address, "/", "If-None-Match: \"other\"\r\n").await.status, 200);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_other_methods_are_refused() {
    let server = site(&[("index.html", "hello")]).await;
    let answer = request(server.address, &format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n")).await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("5"), 0));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = request(server.address, &format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[tokio::test]
async fn ranges_give_parts_of_small_and_big_files() {
    let big: String = (0..50_000).map(|n| format!("{n:05}")).collect();
    let server = site(&[("small.bin", "0123456789"), ("big.bin", &big), ("empty.bin", "")]).await;
    let part = get(server.address, "/small.bin", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    let part = get(server.address, "/big.bin", "Range: bytes=100000-100009\r\n").await;
    assert_eq!((part.status, part.text()), (206, "2000020001"));
    let part = get(server.address, "/big.bin", "Range: bytes=-5\r\n").await;
    assert_eq!((part.text(), part.header("content-range")), ("49999", Some("bytes 249995-249999/250000")));
    for (path, size) in [("/small.bin", 10), ("/empty.bin", 0)] {
        let none = get(server.address, path, "Range: bytes=10-\r\n").await;
        let range = format!("bytes */{size}");
        assert_eq!((none.status, none.header("content-range")), (416, Some(range.as_str())));
    }
    let whole = get(server.address, "/small.bin", "Range: bytes=0-1,3-4\r\n").await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
}

#[tokio::test]
async fn if_range_gives_a_part_only_of_the_same_content() {
    let server = site(&[("a.bin", "0123456789")]).await;
    let etag = get(server.address, "/a.bin", "").await.header("etag").unwrap().to_owned();
    let with = async |tag: &str| {
        get(server.address, "/a.bin", &format!("Range: bytes=0-1\r\nIf-Range: {tag}\r\n")).await.status
    };
    assert_eq!(with(&etag).await, 206);
    assert_eq!(with("\"other\"").await, 200);
    assert_eq!(with(&format!("W/{etag}")).await, 200);
    assert_eq!(with("Sat, 21 Nov 2026 00:00:00 GMT").await, 200);
}

#[tokio::test]
async fn a_precompressed_file_is_sent_to_who_accepts_it() {
    let site =
        site(&[("app.js", "plain"), ("app.js.br", "BROTLI"), ("app.js.zst", "ZSTD"), ("app.js.gz", "GZIP")])
            .await;
    for (accept, body, encoding) in [
        ("gzip, deflate, br, zstd", "BROTLI", Some("br")),
        ("zstd;q=1, br;q=0.1", "ZSTD", Some("zstd")),
        ("gzip", "GZIP", Some("gzip")),
        ("identity", "plain", None),
        ("br;q=0", "plain", None),
    ] {
        let answer = get(site.address, "/app.js", &format!("Accept-Encoding: {accept}\r\n")).await;
        assert_eq!((answer.text(), answer.header("content-encoding")), (body, encoding), "{accept}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{accept}");
    }
    let plain = get(site.address, "/app.js", "").await;
    let packed = get(site.address, "/app.js", "Accept-Encoding: br\r\n").await;
    assert_ne!(plain.header("etag"), packed.header("etag"), "two contents have one strong tag");
    let itself = get(site.address, "/app.js.gz", "Accept-Encoding: gzip\r\n").await;
    assert_eq!((itself.text(), itself.header("content-encoding")), ("GZIP", None));
}

#[tokio::test]
async fn text_is_compressed_on_the_fly_small_big_and_streamed() {
    let (medium, big) = ("word ".repeat(1000), "many words ".repeat(500_000));
    let noise = "x".repeat(5000);
    let server = site(&[("m.txt", &medium), ("b.txt", &big), ("tiny.txt", "x"), ("p.png", &noise)]).await;
    for _ in 0..2 {
        let answer = get(server.address, "/m.txt", "Accept-Encoding: gzip\r\n").await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert!(answer.header("etag").unwrap().starts_with("W/"));
        assert_eq!(ungzip(&answer.body), medium);
    }
    let known =
        get(server.address, "/m.txt", "Accept-Encoding: gzip\r\n").await.header("etag").unwrap().to_owned();
    let again =
        get(server.address, "/m.txt", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {known}\r\n")).await;
    assert_eq!(again.status, 304);
    let answer = get(server.address, "/b.txt", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert!(ungzip(&answer.body) == big);
    for path in ["/tiny.txt", "/p.png"] {
        let answer = get(server.address, path, "Accept-Encoding: gzip\r\n").await;
        assert_eq!(answer.header("content-encoding"), None, "{path}");
    }
    let part = get(server.address, "/m.txt", "Accept-Encoding: gzip\r\nRange: bytes=0-3\r\n").await;
    assert_eq!((part.status, part.text(), part.header("content-encoding")), (206, "word", None));
}

#[tokio::test]
async fn folders_have_an_index_a_redirect_and_no_listing() {
    let server = site(&[("index.html", "root"), ("docs/index.html", "docs"), ("img/a.png", "x")]).await;
    assert_eq!(get(server.address, "/docs/", "").await.text(), "docs");
    let moved = get(server.address, "/docs?a=1", "").await;
    assert_eq!((moved.status, moved.header("location")), (301, Some("/docs/?a=1")));
    for path in ["/img/", "/img", "//docs", "/manifest.json", "/docs//index.html"] {
        assert_eq!(get(server.address, path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_missing_page_is_answered_by_the_404_page() {
    let server = site(&[("index.html", "root"), ("404.html", "lost?")]).await;
    let answer = get(server.address, "/none", "If-None-Match: *\r\nRange: bytes=0-1\r\n").await;
    assert_eq!((answer.status, answer.text()), (404, "lost?"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let own = ServeOptions { not_found: Some("oops.html".into()), ..ServeOptions::default() };
    let server = Server::start(&[("oops.html", "oops"), ("404.html", "lost?")], own).await;
    assert_eq!(get(server.address, "/none", "").await.text(), "oops");
}

#[tokio::test]
async fn the_fallback_answers_pages_of_an_application_and_nothing_else() {
    let options = ServeOptions { fallback: Some("index.html".into()), ..ServeOptions::default() };
    let server = Server::start(&[("index.html", "app"), ("404.html", "lost?")], options).await;
    let page = get(server.address, "/cart/7", "Accept: text/html,*/*;q=0.8\r\n").await;
    assert_eq!((page.status, page.text()), (200, "app"));
    assert_eq!(page.header("vary"), Some("Accept, Accept-Encoding"));
    for (path, accept) in [("/cart/7", "application/json"), ("/app.3f2a9c1b.js", "text/html")] {
        let answer = get(server.address, path, &format!("Accept: {accept}\r\n")).await;
        assert_eq!((answer.status, answer.text()), (404, "lost?"), "{path} {accept}");
    }
}

#[tokio::test]
async fn cache_headers_follow_the_kind_of_file_and_the_options() {
    let content = [("index.html", "1"), ("app.3f2a9c1b.js", "1"), ("logo.png", "1")];
    let server = site(&content).await;
    let cache = async |server: &Server, path| {
        get(server.address, path, "").await.header("cache-control").unwrap().to_owned()
    };
    assert_eq!(cache(&server, "/index.html").await, "no-cache");
    assert_eq!(cache(&server, "/app.3f2a9c1b.js").await, "public, max-age=31536000, immutable");
    assert_eq!(cache(&server, "/logo.png").await, "max-age=0, must-revalidate");
    let policy = CachePolicy { other: "max-age=60".into(), ..CachePolicy::default() };
    let server = Server::start(&content, ServeOptions { cache: policy, ..ServeOptions::default() }).await;
    assert_eq!(cache(&server, "/logo.png").await, "max-age=60");
}

#[tokio::test]
async fn no_request_reaches_anything_outside_the_folder() {
    let server = site(&[("index.html", "root"), ("a/b.txt", "x")]).await;
    std::fs::write(server.dir.path().join("secret"), "SECRET").unwrap();
    for path in [
        "/../secret",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/..%5csecret",
        "/a%2fb.txt",
        "/%252e%252e/secret",
        "/a/b.txt%00.html",
        "/%ff",
        "/%",
        "//secret",
        "/../manifest.json",
        "/./index.html",
    ] {
        let answer = get(server.address, path, "").await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.text().contains("SECRET"), "{path}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_in_the_manifest_or_differs_from_it_is_not_served() {
    let long = "1".repeat(100_000);
    let server =
        site(&[("index.html", "root"), ("small.txt", "1"), ("big.bin", &long), ("link.txt", "1")]).await;
    let release = server.releases.find(&crate::fixture::id(), hash("1")).await.unwrap().unwrap();
    let dir = release.files_dir();
    std::fs::write(dir.join("extra.txt"), "x").unwrap();
    std::fs::write(dir.join("small.txt"), "2").unwrap();
    std::fs::write(dir.join("big.bin"), "shorter").unwrap();
    std::fs::remove_file(dir.join("link.txt")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join("link.txt")).unwrap();
    assert_eq!(get(server.address, "/extra.txt", "").await.status, 404);
    for path in ["/small.txt", "/big.bin", "/link.txt"] {
        assert_eq!(get(server.address, path, "").await.status, 500, "{path}");
    }
}

#[tokio::test]
async fn a_big_file_that_was_damaged_after_it_was_asked_for_is_served_once_it_is_good_again() {
    let long = "1".repeat(100_000);
    let server = site(&[("big.bin", &long)]).await;
    let release = server.releases.find(&crate::fixture::id(), hash("1")).await.unwrap().unwrap();
    let path = release.files_dir().join("big.bin");
    for _ in 0..2 {
        assert_eq!(get(server.address, "/big.bin", "").await.text(), long);
    }
    std::fs::write(&path, "shorter").unwrap();
    assert_eq!(get(server.address, "/big.bin", "").await.status, 500);
    let good = path.with_extension("new");
    std::fs::write(&good, &long).unwrap();
    std::fs::rename(&good, &path).unwrap();
    assert_eq!(get(server.address, "/big.bin", "").await.text(), long);
}

#[tokio::test]
async fn an_unknown_host_is_told_which_host_was_asked_for() {
    let server = site(&[("index.html", "root")]).await;
    let answer = request(server.address, "GET / HTTP/1.1\r\nHost: nobody.dev:80\r\n").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("\"nobody.dev:80\""), "{}", answer.text());
    for head in ["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n"] {
        assert_eq!(request(server.address, head).await.status, 400);
    }
}

#[tokio::test]
async fn hosts_are_found_whatever_their_case_and_port_and_configured_ones_too() {
    let server = site(&[("index.html", "root")]).await;
    let id = crate::fixture::id();
    server.sites.set_hosts(&id, &["www.acme.dev".into()]).unwrap();
    for host in ["SHOP.stage.localhost", "shop.stage.localhost:8081", "www.acme.dev", "WWW.acme.dev.:443"] {
        let answer = request(server.address, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    server.sites.remove(&id);
    assert_eq!(get(server.address, "/", "").await.status, 404);
}

#[tokio::test]
async fn two_deployments_answer_each_for_its_host() {
    let server = site(&[("index.html", "shop")]).await;
    let blog: DeploymentId = "blog/static_file/stage".parse().unwrap();
    let content = files(&[("index.html", "blog")]);
    let release = server.releases.prepare(&blog, hash("b"), content, ServeOptions::default()).await.unwrap();
    server.sites.set_live(dhow_static::LiveRelease::new(&release, &server.resources)).unwrap();
    let answer = request(server.address, "GET / HTTP/1.1\r\nHost: blog.stage.localhost\r\n").await;
    assert_eq!(answer.text(), "blog");
    assert_eq!(get(server.address, "/", "").await.text(), "shop");
}

#[tokio::test]
async fn memory_for_small_files_comes_back_when_a_release_goes() {
    let server = site(&[("index.html", "12345")]).await;
    get(server.address, "/", "").await;
    assert_eq!(server.resources.used(), 5);
    server.sites.remove(&crate::fixture::id());
    server.stop.cancel();
    server.task.await.unwrap();
    assert_eq!(server.resources.used(), 0);
}
