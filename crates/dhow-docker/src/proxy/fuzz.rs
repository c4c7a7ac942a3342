//! What proxies and kernels say.

pub(crate) fn answer(data: &[u8]) {
    super::sockets::fuzz(&String::from_utf8_lossy(data));
    super::traefik::fuzz(data);
    super::caddy::fuzz(data);
}
