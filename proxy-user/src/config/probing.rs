//! What probes ask of a backend, and whose certificates pass.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{Refusal, invalid::Invalid, values::HealthKind};

#[derive(Clone, Debug)]
pub enum Probing {
    Tcp,
    Tls(Trust),
    Https(Trust),
}

#[derive(Clone, Debug)]
pub enum Trust {
    /// Any certificate passes.
    Anybody,
    /// It must come from one of these, and bear the endpoint's name.
    Authorities(Authorities),
}

/// At least one, read from a PEM file (RFC 7468); what else the file holds is no matter.
#[derive(Clone, Debug)]
pub struct Authorities {
    path: PathBuf,
    roots: Arc<RootCertStore>,
}

impl Probing {
    pub(super) fn new(kind: Option<HealthKind>, ca: Option<&Path>) -> Result<Self, Refusal> {
        let refuse = |path: &Path, wrong: &dyn fmt::Display| {
            Refusal::new("ca", path.display(), wrong.to_string())
        };
        let trust = match (kind.unwrap_or(HealthKind::Tcp), ca) {
            (HealthKind::Tcp, Some(path)) => {
                let wrong = "--health tcp sees no certificate; ask for --health tls or https";
                return Err(refuse(path, &wrong));
            }
            (_, None) => Trust::Anybody,
            (_, Some(path)) => {
                Authorities::read(path).map(Trust::Authorities).map_err(|e| refuse(path, &e))?
            }
        };
        Ok(match kind.unwrap_or(HealthKind::Tcp) {
            HealthKind::Tcp => Self::Tcp,
            HealthKind::Tls => Self::Tls(trust),
            HealthKind::Https => Self::Https(trust),
        })
    }
}

impl Authorities {
    fn read(path: &Path) -> Result<Self, Invalid> {
        let pem =
            fs::read(path).map_err(|error| Invalid::new(format!("cannot be read: {error}")))?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
            let wrong = |error: &dyn fmt::Display| {
                Invalid::new(format!("certificate {} is broken: {error}", index + 1))
            };
            let certificate = certificate.map_err(|error| wrong(&error))?;
            roots.add(certificate).map_err(|error| wrong(&error))?;
        }
        if roots.is_empty() {
            return Err(Invalid::new("holds no certificate; give a PEM file of one or several"));
        }
        Ok(Self { path: path.to_owned(), roots: Arc::new(roots) })
    }

    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }
}

impl fmt::Display for Probing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Tls(trust) => write!(f, "tls, {trust}"),
            Self::Https(trust) => write!(f, "https, {trust}"),
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("any certificate passes"),
            Self::Authorities(Authorities { path, roots }) => {
                let (path, count) = (path.display(), roots.len());
                write!(f, "certificates from the authorities in {path} ({count}) pass")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;
    use tempfile::NamedTempFile;

    use super::*;

    fn file(content: impl AsRef<[u8]>) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    fn certificate() -> String {
        generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn one_file_may_hold_several_authorities_and_more() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let file = file(format!("# ours\n{}{key}{}", certificate(), certificate()));
        let probing = Probing::new(Some(HealthKind::Https), Some(file.path())).unwrap();
        let shown = format!(
            "https, certificates from the authorities in {} (2) pass",
            file.path().display()
        );
        assert_eq!(probing.to_string(), shown);
    }

    #[test]
    fn a_file_without_an_authority_is_refused_with_the_reason() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = certificate().replace("-----END CERTIFICATE-----", "");
        let second = certificate() + broken;
        for (content, wrong) in [
            ("", "holds no certificate"),
            ("no PEM at all", "holds no certificate"),
            (broken, "certificate 1 is broken"),
            (&second, "certificate 2 is broken"),
            (&cut, "certificate 1 is broken"),
        ] {
            let file = file(content);
            let refusal = Probing::new(Some(HealthKind::Tls), Some(file.path())).unwrap_err();
            let begin = format!("ca: {}: {wrong}", file.path().display());
            assert!(refusal.to_string().starts_with(&begin), "{refusal}");
        }
        let nowhere = Path::new("/does/not/exist.pem");
        let refusal = Probing::new(Some(HealthKind::Tls), Some(nowhere)).unwrap_err();
        assert!(refusal.to_string().starts_with("ca: /does/not/exist.pem: cannot be read: "));
    }

    #[test]
    fn authorities_are_refused_where_no_certificate_is_seen() {
        let file = file(certificate());
        for kind in [None, Some(HealthKind::Tcp)] {
            let refusal = Probing::new(kind, Some(file.path())).unwrap_err();
            assert!(refusal.to_string().ends_with("ask for --health tls or https"), "{refusal}");
        }
    }
}
