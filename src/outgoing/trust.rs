//! The certificates that those of servers are checked against: the public authorities', and the system's or what
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` name in their place.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder};

const FILE: &str = "SSL_CERT_FILE";
const FOLDERS: &str = "SSL_CERT_DIR";

/// A client that trusts them.
pub fn client() -> ClientBuilder {
    let client = reqwest::Client::builder();
    let is_there = |name| env::var_os(name).is_some();
    if !is_there(FILE) || variable(FILE).is_some() || variable(FOLDERS).is_some() {
        return client;
    }
    // The library takes a variable that is set to nothing for a file without a name, and the system's are not read.
    let found = openssl_probe::probe().cert_file;
    let certificates = found.and_then(|file| read(&file).ok()).unwrap_or_default();
    certificates
        .into_iter()
        .fold(client, ClientBuilder::add_root_certificate)
}

/// Makes sure that what the variables name can be read.
///
/// # Errors
///
/// Which of them names what cannot.
pub fn check() -> Result<(), String> {
    if let Some(file) = variable(FILE) {
        let file = PathBuf::from(file);
        match read(&file) {
            Ok(certificates) if !certificates.is_empty() => {}
            Ok(_) => {
                return Err(format!(
                    "{FILE}: {} has no certificate in PEM",
                    file.display()
                ));
            }
            Err(error) => return Err(format!("{FILE}: {} {error}", file.display())),
        }
    }
    let folders = variable(FOLDERS).unwrap_or_default();
    for folder in env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()) {
        if let Err(error) = fs::read_dir(&folder) {
            return Err(format!(
                "{FOLDERS}: {} cannot be read: {error}",
                folder.display()
            ));
        }
    }
    Ok(())
}

/// A variable that is set to nothing is not set.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn read(file: &Path) -> Result<Vec<Certificate>, String> {
    let text = fs::read(file).map_err(|e| format!("cannot be read: {e}"))?;
    Certificate::from_pem_bundle(&text).map_err(|_| "is not in PEM".to_owned())
}
