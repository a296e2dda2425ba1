//! From `tls_server_config` in the web configuration to the settings of rustls.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, CipherSuite, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::{ClientAuth, Pem, Placed, Problem, Tls, TlsVersion, why_unreadable};
use crate::model::Secret;

pub(super) fn files(section: &Tls) -> impl Iterator<Item = PathBuf> {
    let all = [&section.certificate, &section.key, &section.client_ca];
    all.into_iter().flatten().filter_map(|pem| match &pem.value {
        Pem::File(path) => Some(path.clone()),
        Pem::Inline(_) => None,
    })
}

/// The settings of rustls; none if there are problems.
pub(super) fn server_config(section: &Tls, http2: bool, problems: &mut Vec<Problem>) -> Option<ServerConfig> {
    let (certificate, key_file) = (section.certificate.as_ref()?, section.key.as_ref()?);
    let chain = certificates(certificate, problems);
    let key = private_key(key_file, problems);
    let provider = Arc::new(provider(section));
    let verifier = verifier(section, &provider, problems);
    let (chain, key, verifier) = (chain?, key?, verifier?);
    // An error here has been reported when the section was read.
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions(section)).ok()?;
    match builder.with_client_cert_verifier(verifier).with_single_cert(chain, key) {
        Ok(mut config) => {
            config.ignore_client_order = section.prefer_server_order;
            config.alpn_protocols =
                if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
            Some(config)
        }
        Err(error) => {
            problems.push(match error {
                Error::InconsistentKeys(_) => key_file.problem("is not the key of the certificate"),
                Error::InvalidCertificate(_) => {
                    certificate.problem("holds a certificate that is damaged or too old in form")
                }
                _ => key_file.problem(
                    "is a key of a kind that is not offered; offered are RSA (2048 to 4096 bits), ECDSA \
                     P-256 and P-384, Ed25519",
                ),
            });
            None
        }
    }
}

/// The text of a file, or the text in the web configuration itself.
fn text(pem: &Pem) -> Result<Secret, String> {
    match pem {
        Pem::Inline(text) => Ok(text.clone()),
        Pem::File(path) => {
            let why = |error: &std::io::Error| match error.kind() {
                std::io::ErrorKind::FileTooLarge => "is larger than 1 MiB",
                std::io::ErrorKind::InvalidInput => "is not a file",
                _ => why_unreadable(error),
            };
            let bytes = super::access::content(path).map_err(|error| format!("the file {}", why(&error)))?;
            std::str::from_utf8(&bytes)
                .map(Secret::new)
                .map_err(|_| "the file is not text in PEM form".to_owned())
        }
    }
}

/// What `take` finds in a text; a problem if it finds nothing.
fn read<T>(
    pem: &Placed<Pem>,
    problems: &mut Vec<Problem>,
    what: &str,
    take: impl Fn(&Secret) -> Option<T>,
) -> Option<T> {
    let found = text(&pem.value).and_then(|text| take(&text).ok_or_else(|| format!("holds no {what}")));
    found.map_err(|message| problems.push(pem.problem(message))).ok()
}

fn certificates(pem: &Placed<Pem>, problems: &mut Vec<Problem>) -> Option<Vec<CertificateDer<'static>>> {
    read(pem, problems, "certificate in PEM form", |text| text.certificates().filter(|all| !all.is_empty()))
}

fn private_key(pem: &Placed<Pem>, problems: &mut Vec<Problem>) -> Option<PrivateKeyDer<'static>> {
    read(
        pem,
        problems,
        "private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted)",
        Secret::private_key,
    )
}

fn versions(section: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let allowed = |version: TlsVersion| (section.min_version..=section.max_version).contains(&version);
    [(TlsVersion::V13, &TLS13), (TlsVersion::V12, &TLS12)]
        .into_iter()
        .filter(|(v, _)| allowed(*v))
        .map(|(_, version)| version)
        .collect()
}

/// The cipher suites and curves that are allowed. As in Go, the cipher suites of TLS 1.3 cannot be
/// disabled individually, and the client's order of curves takes precedence.
fn provider(section: &Tls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(wanted) = &section.cipher_suites {
        let place = |suite: CipherSuite| wanted.iter().position(|w| *w == suite).unwrap_or(usize::MAX);
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
        provider.cipher_suites.sort_by_key(|suite| place(suite.suite()));
    }
    if let Some(wanted) = &section.curves {
        provider.kx_groups.retain(|group| wanted.contains(&group.name()));
    }
    provider
}

fn verifier(
    section: &Tls,
    provider: &Arc<CryptoProvider>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<dyn ClientCertVerifier>> {
    if section.client_auth == ClientAuth::No {
        return Some(WebPkiClientVerifier::no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    if let Some(pem) = &section.client_ca {
        for certificate in certificates(pem, problems)? {
            if roots.add(certificate).is_err() {
                problems.push(pem.problem("holds a certificate that is damaged"));
                return None;
            }
        }
    }
    let hints = roots.subjects();
    let authority = if section.client_auth.verifies() {
        // It fails without roots, which has been reported when the section was read.
        Some(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok()?)
    } else {
        None
    };
    Some(Arc::new(ClientVerifier {
        authority,
        required: section.client_auth.requires(),
        names: section.allowed_sans.iter().cloned().collect(),
        hints,
        algorithms: provider.signature_verification_algorithms,
    }))
}

/// Checks client certificates. Every client proves that it has the key of its certificate; who has
/// signed the certificate matters only if there is an authority.
#[derive(Debug)]
struct ClientVerifier {
    authority: Option<Arc<dyn ClientCertVerifier>>,
    required: bool,
    /// If there are any, a certificate must hold one of these names.
    names: HashSet<String>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(authority) = &self.authority {
            authority.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.names.is_empty() && !names(end_entity).iter().any(|name| self.names.contains(name)) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The alternative names of a certificate: DNS names, mail addresses, IP addresses and URIs. None
/// if the certificate cannot be read.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let extension = Certificate::from_der(certificate)
        .ok()
        .and_then(|c| c.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten());
    let name = |name: GeneralName| match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
            let ip = four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())?;
            Some(ip.to_canonical().to_string())
        }
        _ => None,
    };
    extension.into_iter().flat_map(|(_, names)| names.0).filter_map(name).collect()
}
