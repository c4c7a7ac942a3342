use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

use super::accept::{elements, quality};

/// How content is packed on the wire, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The ending of a precompressed file.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }
}

/// What a client accepts, as q-values in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    encodings: [u16; 3],
    identity: u16,
}

impl Accepted {
    /// Without the header, content is sent as it is.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut named = [None; 3];
        let (mut identity, mut any) = (None, None);
        for (name, parameters) in elements(headers, ACCEPT_ENCODING) {
            let q = quality(parameters);
            match Encoding::ALL.iter().position(|e| {
                name.eq_ignore_ascii_case(e.name())
                    || (*e == Encoding::Gzip && name.eq_ignore_ascii_case("x-gzip"))
            }) {
                Some(index) => named[index] = Some(q),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(q),
                None if name == "*" => any = Some(q),
                None => {}
            }
        }
        let encodings = named.map(|q| q.or(any).unwrap_or(0));
        // RFC 9110, 12.5.3: identity is acceptable unless it is excluded; unnamed, it is the last choice.
        let identity = identity.unwrap_or(if any == Some(0) { 0 } else { 1 });
        Self { encodings, identity }
    }

    /// The best of those that exist; `None` is the content as it is.
    pub(super) fn best(self, available: impl Iterator<Item = Encoding>) -> Option<Encoding> {
        available
            .map(|encoding| (self.encodings[encoding as usize], encoding))
            .filter(|(q, _)| *q > 0 && *q >= self.identity)
            .max_by_key(|(q, encoding)| (*q, std::cmp::Reverse(*encoding as usize)))
            .map(|(_, encoding)| encoding)
    }

    /// Whether the content may be sent as it is.
    pub(super) fn identity(self) -> bool {
        self.identity > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(header: &str, available: &[Encoding]) -> Option<Encoding> {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, header.parse().unwrap())]);
        Accepted::of(&headers).best(available.iter().copied())
    }

    #[test]
    fn the_best_accepted_encoding_is_chosen_by_q_then_by_size() {
        use Encoding::{Brotli, Gzip, Zstd};
        assert_eq!(best("gzip, deflate, br, zstd", &Encoding::ALL), Some(Brotli));
        assert_eq!(best("gzip;q=1.0, br;q=0.5", &Encoding::ALL), Some(Gzip));
        assert_eq!(best("br;q=0, *", &Encoding::ALL), Some(Zstd));
        assert_eq!(best("GZIP", &Encoding::ALL), Some(Gzip));
        assert_eq!(best("br", &[Gzip]), None);
        assert_eq!(best("gzip;q=0", &[Gzip]), None);
        assert_eq!(best("gzip;q=0.2, identity", &[Gzip]), None);
        assert_eq!(best("gzip;q=abc", &[Gzip]), None);
    }

    #[test]
    fn without_the_header_content_is_sent_as_it_is() {
        assert_eq!(Accepted::of(&HeaderMap::new()).best(Encoding::ALL.into_iter()), None);
    }
}
