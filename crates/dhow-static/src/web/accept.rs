//! Lists with q-values, as Accept and Accept-Encoding have them (RFC 9110, 12.4.2).

use http::HeaderMap;
use http::header::{ACCEPT, HeaderName};

/// The elements of a list header: the value, and its parameters as they stand.
pub(super) fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = (&str, &str)> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| {
        value.split(',').map(|element| {
            let (value, parameters) = element.split_once(';').unwrap_or((element, ""));
            (value.trim(), parameters)
        })
    })
}

/// The q-value in thousandths: 1000 where there is none, 0 where it is no number.
pub(super) fn quality(parameters: &str) -> u16 {
    let q = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    match q.map(str::parse::<f32>) {
        None => 1000,
        Some(Ok(q)) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u16,
        Some(_) => 0,
    }
}

/// Whether a page is an answer to this request. A request that names nothing accepts everything.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    if !headers.contains_key(ACCEPT) {
        return true;
    }
    // The most specific range decides.
    let mut decided = (0, 0);
    for (range, parameters) in elements(headers, ACCEPT) {
        let precision = match range.to_ascii_lowercase().as_str() {
            "text/html" => 3,
            "text/*" => 2,
            "*/*" => 1,
            _ => continue,
        };
        if precision > decided.0 {
            decided = (precision, quality(parameters));
        }
    }
    decided.1 > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_accepted_by_browsers_and_not_by_who_asks_for_data() {
        let accepts = |value: &str| accepts_html(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]));
        assert!(accepts("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(accepts("*/*"));
        assert!(!accepts("application/json"));
        assert!(!accepts("text/html;q=0, */*"));
        assert!(accepts_html(&HeaderMap::new()));
    }
}
