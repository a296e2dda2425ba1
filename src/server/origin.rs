//! Whether a request is well-formed, which host it names, and whether a page of another site may have
//! made it.

use http::header::{HOST, HeaderName, ORIGIN, REFERER};
use http::uri::Authority;
use http::{Request, StatusCode, Version};
use url::{Host, Url};

/// Maximum size of a request's head. hyper only refuses what does not fit into its buffers.
const MAX_HEAD: usize = 32 << 10;

/// The host that a request names; none in HTTP/1.0 without a `Host` header.
///
/// # Errors
/// The status and text of the answer, if its head is too large or its `Host` header is wrong: RFC 9112
/// demands the status 400 then.
pub(super) fn named_host<B>(request: &Request<B>) -> Result<Option<Authority>, (StatusCode, &'static str)> {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if path + lines.sum::<usize>() > MAX_HEAD {
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.\n"));
    }
    let wrong = |problem| Err((StatusCode::BAD_REQUEST, problem));
    let mut headers = request.headers().get_all(HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => match Authority::try_from(header.as_bytes()) {
            Ok(host) if !host.as_str().contains('@') => Some(host),
            _ => return wrong("The header Host names no host.\n"),
        },
        (None, _) if request.version() == Version::HTTP_11 => return wrong("The header Host is missing.\n"),
        (None, _) => None,
        (Some(_), Some(_)) => return wrong("There is more than one header Host.\n"),
    };
    Ok(request.uri().authority().cloned().or(header))
}

/// Whether a page of another site may have made a request, as far as its headers tell. Programs other
/// than browsers send none of them.
///
/// If the exporter's URL is known, a name with a dot must be that of the URL: an attacker can let other
/// names lead here. That is not possible with addresses and with names of the local network.
pub(super) fn is_foreign<B>(request: &Request<B>, host: Option<&Authority>, external: Option<&Url>) -> bool {
    if let (Some(host), Some(external)) = (host, external.and_then(Url::host)) {
        match Host::parse(host.host()) {
            Ok(Host::Domain(name)) if name.contains('.') && Host::Domain(&*name) != external => return true,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
    let headers = |name: HeaderName| request.headers().get_all(name).iter().map(|value| value.to_str());
    let mut sites = headers(HeaderName::from_static("sec-fetch-site")).peekable();
    if sites.peek().is_some() {
        // `none`: the user typed the address.
        return !sites.all(|site| matches!(site, Ok("same-origin" | "none")));
    }
    let is_ours = |page: &Url| {
        let page_host = &page[url::Position::BeforeHost..url::Position::AfterPort];
        host.is_some_and(|host| host.as_str().eq_ignore_ascii_case(page_host))
            || external.is_some_and(|external| external.origin() == page.origin())
    };
    let pages = headers(ORIGIN).chain(headers(REFERER));
    !pages.map(|page| Url::parse(page.unwrap_or_default())).all(|page| page.as_ref().is_ok_and(is_ours))
}
